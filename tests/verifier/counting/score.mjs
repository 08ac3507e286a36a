// Score: the sum of the points, no points for an option left without.

import { allOptionsFlaw, areNumbers, electByVotes, longestNumbers, MOST_POINTS, result, rulesFlaw, seatsOf, seatsRule, sorted } from "./method.mjs";

const most = (question) => question.rules.max_score ?? 10;

export const score = {
  form: "points",
  questionFlaw: (question) =>
    allOptionsFlaw(question) || rulesFlaw(question, { max_score: [1, MOST_POINTS], ...seatsRule(question) }),
  isAnswer: (question, answer) => areNumbers(question, answer, 0, most(question)),
  longest: (question) => longestNumbers(question, most(question)),
  count(question, ballots, lot) {
    const given = sorted(ballots);
    const points = new Map(question.options.map((_, number) => [number, 0]));
    for (const [scores, weight] of given.marked) {
      scores.forEach((one, option) => points.set(option, points.get(option) + weight * Math.max(one, 0)));
    }
    const entry = electByVotes(1, points, seatsOf(question), lot);
    return result(question, given, [entry], entry.elected);
  },
};
