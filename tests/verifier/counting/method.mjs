// What the counting methods share (docs/counting.md). An answer is a list of numbers, `ballots` are [answer, weight].

export const NO_NUMBER = -1;
export const MOST_POINTS = 100;

export const seatsOf = (question) => question.rules.seats ?? 1;

const isInt = Number.isSafeInteger;

/** Why the rules are not the method's: each is known, with an integer in its range [first, last], or a truth value. */
export function rulesFlaw(question, known) {
  for (const [rule, value] of Object.entries(question.rules)) {
    if (!Object.hasOwn(known, rule)) return `no rule ${rule}`;
    const allowed = known[rule];
    const fits = allowed === "truth" ? typeof value === "boolean" : isInt(value) && allowed[0] <= value && value <= allowed[1];
    if (!fits) return `rule ${rule} is out of range`;
  }
  return "";
}

export const seatsRule = ({ options, declared }) => ({ seats: [1, options.length + declared.length] });

export function maxChoicesFlaw({ maxChoices }, limit) {
  return 1 <= maxChoices && maxChoices <= limit ? "" : "max_choices is out of range";
}

export const allOptionsFlaw = ({ maxChoices, options }) => (maxChoices === options.length ? "" : "max_choices is not the number of options");

export const lines = ({ options, writeIns }) => options.length + writeIns;

/** Whether the answer marks at most max_choices options, none twice. */
export function areMarks({ maxChoices, options }, answer) {
  const exists = (option) => 0 <= option && option < options.length;
  return answer.length <= maxChoices && answer.every(exists) && new Set(answer).size === answer.length;
}

export function longestMarks({ options, maxChoices }) {
  return options.map((_, number) => number).slice(-maxChoices);
}

/** Whether the answer is empty, or one number an option, from first to last or NO_NUMBER. */
export function areNumbers({ options }, answer, first, last) {
  const fits = (number) => number === NO_NUMBER || (first <= number && number <= last);
  return (answer.length === 0 || answer.length === options.length) && answer.every(fits);
}

export const longestNumbers = ({ options }, last) => options.map(() => widest(last));

/** The one of -1 and `number` with more digits, -1 of equal ones. */
export const widest = (number) => (String(number).length > 2 ? number : NO_NUMBER);

export const isBlank = (answer) => answer.every((number) => number === NO_NUMBER);

export const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

export const rising = (numbers) => [...numbers].sort((a, b) => a - b);

/** { total, blank, marked }: the weight of all ballots, of the blank ones, and those that are not. */
export function sorted(ballots, blank = isBlank) {
  const marked = ballots.filter(([answer]) => !blank(answer));
  const total = sum(ballots.map(([, weight]) => weight));
  return { total, blank: total - sum(marked.map(([, weight]) => weight)), marked };
}

/** `votes` is a Map from numbers to votes. */
export function roundEntry(round, votes, { inactive = {}, threshold = 0, elected = [], eliminated = [] } = {}) {
  const byText = Object.fromEntries([...votes].map(([number, value]) => [String(number), value]));
  return { round, votes: byText, inactive: { ...inactive }, threshold, elected, eliminated: rising(eliminated) };
}

export function tieEntry(options, chosen, brokenBy) {
  return { options: rising(options), chosen: rising(chosen), broken_by: brokenBy };
}

/** The entry of a round in which the `seats` with the most votes win; without a vote nobody does. */
export function electByVotes(round, votes, seats, lot) {
  const place = (number) => lot.indexOf(number);
  const standing = [...votes.keys()].filter((number) => votes.get(number));
  standing.sort((a, b) => votes.get(b) - votes.get(a) || place(a) - place(b));
  const elected = standing.slice(0, seats);
  const entry = roundEntry(round, votes, { elected });
  const last = elected.length ? votes.get(elected.at(-1)) : 0;
  const tied = standing.filter((number) => votes.get(number) === last);
  const chosen = tied.filter((number) => elected.includes(number));
  if (chosen.length < tied.length) entry.tie = tieEntry(tied, chosen, "lot");
  return entry;
}

/**
 * [number, what decided]: the one of the tied that earlier rounds or else the lot choose. `best` is true to prefer
 * one, false to eliminate one; `history` has the votes of the rounds so far, Maps.
 */
export function breakTie(tied, history, lot, best) {
  let left = [...tied];
  for (const votes of [...history].reverse()) {
    const counts = left.map((option) => votes.get(option));
    const extreme = counts.reduce((a, b) => (best === a > b ? a : b));
    left = left.filter((option) => votes.get(option) === extreme);
    if (left.length === 1) return [left[0], "earlier_round"];
  }
  left.sort((a, b) => lot.indexOf(a) - lot.indexOf(b));
  return [left.at(best ? 0 : -1), "lot"];
}

export function result(question, { total, blank }, rounds, winners, margin = marginOf(rounds, winners, question.other)) {
  return { method: question.method, ballots: total, blank, rounds, winners, margin };
}

/** Whole votes between the last winner and the first loser in the latest round that still had a loser. */
function marginOf(rounds, winners, other) {
  if (!winners.length) return 0;
  const nobodyLost = new Set([...winners, ...(other === null ? [] : [other])].map(String));
  const losers = (entry) => Object.keys(entry.votes).filter((number) => !nobodyLost.has(number));
  const place = Math.max(0, rounds.findLastIndex((entry) => losers(entry).length));
  const early = new Set(rounds.slice(0, place).flatMap((entry) => entry.elected));
  const votes = (number) => Number(String(rounds[place].votes[number]).split(".")[0]);
  const least = Math.min(...winners.filter((winner) => !early.has(winner)).map(votes));
  return Math.max(0, least - Math.max(0, ...losers(rounds[place]).map(votes)));
}
