// The counting methods by name, and the count of all questions.

import { compare, u32, xor } from "../bytes.mjs";
import { frameHash } from "../frame.mjs";
import { resolve } from "../names.mjs";
import { irv } from "./irv.mjs";
import { majorityJudgement } from "./majority.mjs";
import { approval, plurality } from "./marks.mjs";
import { schulze } from "./schulze.mjs";
import { score } from "./score.mjs";
import { stv } from "./stv.mjs";

export { MOST_POINTS } from "./method.mjs";

export const METHODS = { plurality, approval, irv, stv, schulze, majority_judgement: majorityJudgement, score };

/** Numbers of candidates in the order drawn, the first preferred. */
export function drawLot(seed, question, candidates) {
  const drawn = Array.from({ length: candidates }, (_, number) => [number, frameHash("lot", seed, u32(question), u32(number))]);
  return drawn.sort(([, a], [, b]) => compare(a, b)).map(([number]) => number);
}

/** The XOR of the seeds of the valid ballots. */
export const lotSeed = (votes) => votes.reduce((seed, vote) => xor(seed, vote.seed), new Uint8Array(32));

/** One result a question, from votes with `answers` and `weight`. */
export function countQuestions(questions, votes, seed) {
  return questions.map((question, number) => {
    const lot = drawLot(seed, number, question.candidates.length);
    return countQuestion(question, grouped(votes, number), lot);
  });
}

export function countQuestion(question, given, lot) {
  const { count } = METHODS[question.method];
  if (!question.writeIns) return count(question, given, lot);
  const { ballots, written } = resolve(question, given);
  return { ...count(question, ballots, lot), write_ins: written };
}

/** Equal answers are counted together. */
function grouped(votes, number) {
  const given = new Map();
  for (const { answers, weight } of votes) {
    const name = JSON.stringify(answers[number]);
    given.set(name, [answers[number], (given.get(name)?.[1] ?? 0) + weight]);
  }
  return [...given.values()];
}
