// Instant runoff, with the rules that say what becomes of odd ballots and of hopeless options.

import { breakTie, lines, maxChoicesFlaw, NO_NUMBER, result, rising, roundEntry, rulesFlaw, sorted, sum, tieEntry, widest } from "./method.mjs";

const OVERVOTED = -2;
const INACTIVE = ["exhausted_choices", "overvotes", "repeated_rankings", "skipped_rankings"];

export const irv = {
  form: "list",
  questionFlaw: (question) =>
    maxChoicesFlaw(question, lines(question)) ||
    rulesFlaw(question, {
      max_skipped_ranks: [0, question.maxChoices],
      overvote_skips: "truth",
      repeat_exhausts: "truth",
      batch_elimination: "truth",
      drop_in_round_1: [0, question.options.length - 1],
    }),
  isAnswer: ({ maxChoices, options }, answer) =>
    answer.length <= maxChoices && answer.every((rank) => OVERVOTED <= rank && rank < options.length),
  longest: ({ options, maxChoices }) => Array(maxChoices).fill(widest(options.length - 1)),
  count,
};

function count(question, ballots, lot) {
  const rules = { max_skipped_ranks: question.maxChoices, ...question.rules };
  const dropped = new Set([question.rules.drop_in_round_1, question.other].filter((one) => one !== undefined && one !== null));
  const given = sorted(ballots);
  let votes = new Map(question.candidates.map((_, number) => [number, 0]));
  const rounds = [];
  const history = [];
  for (;;) {
    const inactive = Object.fromEntries(INACTIVE.map((reason) => [reason, 0]));
    for (const number of votes.keys()) votes.set(number, 0);
    for (const [ranks, weight] of given.marked) {
      const holder = holderOf(ranks, votes, rules);
      if (typeof holder === "string") inactive[holder] += weight;
      else votes.set(holder, votes.get(holder) + weight);
    }
    history.push(new Map(votes));
    const active = sum([...votes.values()]);
    const threshold = Math.floor(active / 2) + 1;
    const elected = [...votes.keys()].filter((option) => votes.get(option) >= threshold && !dropped.has(option));
    const ended = elected.length > 0 || active === 0;
    const [eliminated, tie] = ended ? [[], null] : leaving(history, rules, dropped, lot);
    const entry = roundEntry(rounds.length + 1, votes, { inactive, threshold, elected, eliminated });
    rounds.push(tie === null ? entry : { ...entry, tie });
    if (ended) return result(question, given, rounds, elected);
    for (const option of eliminated) votes.delete(option);
  }
}

/** The option that a ballot counts for among those in `votes`, or why it counts for none. */
function holderOf(ranks, votes, rules) {
  let skipped = 0;
  const seen = new Set();
  for (const rank of ranks) {
    if (rank === NO_NUMBER) {
      skipped += 1;
      continue;
    }
    if (skipped > rules.max_skipped_ranks) return "skipped_rankings";
    skipped = 0;
    if (rank === OVERVOTED) {
      if (!rules.overvote_skips) return "overvotes";
      continue;
    }
    if (votes.has(rank)) return rank;
    if (rules.repeat_exhausts && seen.has(rank)) return "repeated_rankings";
    seen.add(rank);
  }
  return "exhausted_choices";
}

function leaving(history, rules, dropped, lot) {
  const votes = history.at(-1);
  if (history.length === 1 && dropped.size) return [[...dropped], null];
  const batch = rules.batch_elimination ? hopeless(votes) : [];
  if (batch.length) return [batch, null];
  const fewest = Math.min(...votes.values());
  const lowest = [...votes.keys()].filter((option) => votes.get(option) === fewest);
  if (lowest.length === 1) return [lowest, null];
  const [option, brokenBy] = breakTie(lowest, history.slice(0, -1), lot, false);
  return [[option], tieEntry(lowest, [option], brokenBy)];
}

/** The largest group of lowest options that together have fewer votes than the next one. */
function hopeless(votes) {
  let [batch, seen, together] = [[], [], 0];
  for (const count of rising(new Set(votes.values()))) {
    if (together < count) batch = seen;
    const equal = [...votes.keys()].filter((option) => votes.get(option) === count);
    seen = [...seen, ...equal];
    together += count * equal.length;
  }
  return batch;
}
