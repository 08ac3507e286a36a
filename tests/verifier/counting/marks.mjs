// Plurality and approval: every mark is a vote, the most votes win.

import { areMarks, electByVotes, lines, longestMarks, maxChoicesFlaw, result, roundEntry, rulesFlaw, seatsOf, seatsRule, sorted } from "./method.mjs";

const method = (limit, longest) => ({
  form: "list",
  questionFlaw: (question) => maxChoicesFlaw(question, limit(question)) || rulesFlaw(question, seatsRule(question)),
  isAnswer: areMarks,
  longest,
  count,
});

export const plurality = method(() => 1, ({ options }) => [options.length - 1]);
export const approval = method(lines, longestMarks);

function count(question, ballots, lot) {
  const given = sorted(ballots, (answer) => answer.length === 0);
  const votes = new Map(question.candidates.map((_, number) => [number, 0]));
  for (const [answer, weight] of given.marked) {
    for (const option of answer) votes.set(option, votes.get(option) + weight);
  }
  // Other names are shown, not elected.
  const somebody = new Map([...votes].filter(([number]) => number !== question.other));
  const entry = electByVotes(1, somebody, seatsOf(question), lot);
  return result(question, given, [{ ...entry, votes: roundEntry(1, votes).votes }], entry.elected);
}
