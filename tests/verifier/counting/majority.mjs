// Majority judgement: the best majority grade wins, equal ones by their majority value, then by lot.

import { allOptionsFlaw, areNumbers, longestNumbers, NO_NUMBER, result, roundEntry, rulesFlaw, seatsOf, seatsRule, sorted, sum, tieEntry } from "./method.mjs";

const MOST_GRADES = 20;

export const majorityJudgement = {
  form: "grades",
  questionFlaw: (question) =>
    allOptionsFlaw(question) ||
    rulesFlaw(question, seatsRule(question)) ||
    (2 <= question.grades.length && question.grades.length <= MOST_GRADES ? "" : "the number of grades"),
  isAnswer: (question, answer) => areNumbers(question, answer, 0, question.grades.length - 1),
  longest: (question) => longestNumbers(question, question.grades.length - 1),
  count,
};

function count(question, ballots, lot) {
  const given = sorted(ballots);
  const worst = question.grades.length - 1;
  const grades = question.options.map(() => question.grades.map(() => 0));
  for (const [answer, weight] of given.marked) {
    answer.forEach((grade, option) => (grades[option][grade === NO_NUMBER ? worst : grade] += weight));
  }
  const votes = given.total - given.blank;
  const rounds = roundsOf(grades, votes, seatsOf(question), lot);
  const winners = rounds.flatMap((entry) => entry.elected);
  return { ...result(question, given, rounds, winners), grades, majority: votes ? grades.map((one) => gauge(one, votes)) : [] };
}

function roundsOf(grades, votes, seats, lot) {
  let standing = grades.map((_, option) => option);
  standing.sort((a, b) => compareValues(grades[a], grades[b]) || lot.indexOf(a) - lot.indexOf(b));
  const threshold = Math.floor(votes / 2) + 1;
  const rounds = [];
  let open = seats;
  for (let grade = 0; grade < grades[0].length; grade++) {
    const reached = new Map(standing.map((option) => [option, sum(grades[option].slice(0, grade + 1))]));
    const passed = standing.filter((option) => reached.get(option) >= threshold);
    const elected = passed.slice(0, open);
    const entry = roundEntry(grade + 1, reached, { threshold, elected });
    if (elected.length && passed.length > elected.length) entry.tie = tie(grades, passed, elected);
    rounds.push(entry);
    open -= elected.length;
    standing = standing.filter((option) => !elected.includes(option));
    if (!open || !standing.length || !votes) break;
  }
  return rounds;
}

function tie(grades, passed, elected) {
  const last = grades[elected.at(-1)];
  const equal = passed.filter((option) => grades[option].every((votes, grade) => votes === last[grade]));
  if (equal.every((option) => elected.includes(option))) return tieEntry(passed, elected, "majority_value");
  return tieEntry(equal, equal.filter((option) => elected.includes(option)), "lot");
}

/** The grade that vote number `place` gave, votes in order of their grade, the best first. */
function gradeAt(grades, place) {
  let [grade, end] = [0, grades[0]];
  while (end <= place) end += grades[++grade];
  return grade;
}

/**
 * Compares majority values: the majority grades as one vote for it after the other is taken away. With n votes left the
 * majority grade is that of place n div 2, and taking it away leaves places that go outward from the middle, first to
 * the worse side if n was even. Blocks of votes in which neither option changes its grade are passed at once.
 */
function compareValues(one, other) {
  const votes = sum(one);
  if (!votes) return 0;
  let [low, high] = [Math.floor((votes - 1) / 2), Math.floor(votes / 2)];
  if (low === high) {
    const difference = gradeAt(one, low) - gradeAt(other, low);
    if (difference) return difference;
    [low, high] = [low - 1, high + 1];
  }
  const bounds = [one, other].flatMap((grades) => grades.map((_, grade) => sum(grades.slice(0, grade + 1))));
  while (low >= 0) {
    for (const place of [high, low]) {
      const difference = gradeAt(one, place) - gradeAt(other, place);
      if (difference) return difference;
    }
    // The nearest step at which a grade begins above `high` or ends below `low`.
    const steps = bounds.map((bound) => (bound > high ? bound - high : low + 1 - bound)).filter((step) => step > 0);
    const step = Math.min(...steps, low + 1);
    [low, high] = [low - step, high + step];
  }
  return 0;
}

function gauge(grades, votes) {
  const grade = gradeAt(grades, Math.floor(votes / 2));
  return { grade, above: sum(grades.slice(0, grade)), below: sum(grades.slice(grade + 1)) };
}
