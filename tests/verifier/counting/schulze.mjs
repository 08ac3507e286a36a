// Schulze: winning votes, strongest paths, and among those nobody left is better than the lot decides.

import { allOptionsFlaw, areNumbers, longestNumbers, NO_NUMBER, result, roundEntry, rulesFlaw, seatsOf, seatsRule, sorted, tieEntry } from "./method.mjs";

const MOST_OPTIONS = 100;

export const schulze = {
  form: "ranks",
  questionFlaw: (question) =>
    allOptionsFlaw(question) ||
    (question.options.length > MOST_OPTIONS ? "too many options" : "") ||
    rulesFlaw(question, seatsRule(question)),
  isAnswer: (question, answer) => areNumbers(question, answer, 1, question.options.length),
  longest: (question) => longestNumbers(question, question.options.length),
  count,
};

function count(question, ballots, lot) {
  const given = sorted(ballots);
  const options = question.options.map((_, number) => number);
  const pairwise = compared(options, given.marked);
  const paths = strongestPaths(options, pairwise);
  const better = options.map((a) => new Set(options.filter((b) => stronger(paths[a][b], paths[b][a]))));
  const { winners, tie } = given.marked.length ? elect(options, better, seatsOf(question), lot) : { winners: [] };
  const entry = roundEntry(1, new Map(options.map((option) => [option, better[option].size])), { elected: winners });
  const round = tie === undefined ? entry : { ...entry, tie };
  const margin = marginOf(options, paths, winners);
  return { ...result(question, given, [round], [...winners], margin), pairwise, paths };
}

function compared(options, marked) {
  const pairwise = options.map(() => options.map(() => 0));
  const place = (rank) => (rank === NO_NUMBER ? Infinity : rank);
  for (const [ranks, weight] of marked) {
    for (const a of options) {
      for (const b of options) if (place(ranks[a]) < place(ranks[b])) pairwise[a][b] += weight;
    }
  }
  return pairwise;
}

/** Orders links [support, opposition]: by winning votes, then by the fewer opposed; all draws are equally strong. */
function strength([support, opposition]) {
  if (support > opposition) return [1, support, -opposition];
  return support === opposition ? [0, 0, 0] : [-1, -opposition, support];
}

function stronger(one, other) {
  const [a, b] = [strength(one), strength(other)];
  const at = a.findIndex((value, place) => value !== b[place]);
  return at >= 0 && a[at] > b[at];
}

function strongestPaths(options, pairwise) {
  // A draw is written as the draw that was found last in the order of the pairs, and as [0, 0] where none was.
  let draw = [0, 0];
  for (const a of options) {
    for (const b of options) if (a !== b && pairwise[a][b] === pairwise[b][a]) draw = [pairwise[a][b], pairwise[a][b]];
  }
  const link = (a, b) => (pairwise[a][b] === pairwise[b][a] ? draw : [pairwise[a][b], pairwise[b][a]]);
  const paths = options.map((a) => options.map((b) => (a === b ? [0, 0] : link(a, b))));
  for (const between of options) {
    for (const a of options) {
      for (const b of options) {
        if (a === b || a === between || b === between) continue;
        const [first, second] = [paths[a][between], paths[between][b]];
        const weakest = stronger(first, second) ? second : first;
        if (stronger(weakest, paths[a][b])) paths[a][b] = weakest;
      }
    }
  }
  return paths;
}

function elect(options, better, seats, lot) {
  const winners = [];
  const left = new Set(options);
  while (left.size && winners.length < seats) {
    const best = [...left].filter((option) => ![...left].some((other) => better[other].has(option)));
    best.sort((a, b) => lot.indexOf(a) - lot.indexOf(b));
    const chosen = best.slice(0, seats - winners.length);
    winners.push(...chosen);
    for (const option of chosen) left.delete(option);
    if (chosen.length < best.length) return { winners, tie: tieEntry(best, chosen, "lot") };
  }
  return { winners };
}

function marginOf(options, paths, winners) {
  const losers = options.filter((option) => !winners.includes(option));
  if (!winners.length || !losers.length) return 0;
  const support = ([votes, against]) => (votes > against ? votes : 0);
  return Math.min(...winners.flatMap((a) => losers.map((b) => support(paths[a][b]) - support(paths[b][a]))));
}
