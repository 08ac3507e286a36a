// The election definition: what is voted on, by whom, under which keys (section 7).

import { METHODS, MOST_POINTS } from "./counting/index.mjs";
import { decode, DocumentError, encode } from "./document.mjs";
import { isShown, longestWithNames, OTHER, textsFit, writeInFlaw } from "./names.mjs";

const [MAX_QUESTIONS, MAX_OPTIONS, MAX_FIGURES, MAX_TRUSTEES] = [50, 200, 200_000, 255];
const [MAX_TITLE, MAX_TEXT, MAX_NAME] = [200, 2000, 200];
const [LEAST_EPOCH_US, LEAST_EPOCH_BALLOTS] = [600_000_000, 20];
const MAX_CLAIMS_S = 366 * 86_400;
const PAD_STEP = 64;
const MAX_PAD_LEN = 2 + 0xffff;
const FIELDS = "version title questions opens_us closes_us pad_len k trustees registrars roll origin genesis".split(" ");
const LATER = ["claims_s", "epochs"];
const OPTIONAL = { grades: (grades) => grades.length > 0, write_ins: (lines) => lines !== 0, declared: (names) => names.length > 0 };

export class DefinitionError extends Error {}

const demand = (holds, reason) => {
  if (!holds) throw new DefinitionError(reason);
};

const isText = (value) => typeof value === "string";
const isInt = Number.isSafeInteger;
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isHex = (value, size) => isText(value) && value.length === 2 * size && /^[0-9a-f]*$/.test(value);

function hasExactly(value, names) {
  return isObject(value) && Object.keys(value).length === names.length && names.every((name) => Object.hasOwn(value, name));
}

/** The definition of a document. Throws DefinitionError unless it is canonical, complete and acceptable. */
export function readDefinition(data) {
  let value;
  try {
    value = decode(data);
  } catch (error) {
    throw error instanceof DocumentError ? new DefinitionError(error.message) : error;
  }
  const later = LATER.filter((name) => isObject(value) && Object.hasOwn(value, name));
  demand(hasExactly(value, [...FIELDS, ...later]), "fields are missing or unknown");
  const { version, title, questions, opens_us: opens, closes_us: closes, pad_len: padLen, roll, origin, genesis } = value;
  demand(version === 1, "the version is not known");
  demand(isText(title) && isShown(title, MAX_TITLE), "the title");
  demand(Array.isArray(questions) && 1 <= questions.length && questions.length <= MAX_QUESTIONS, "the questions");
  const read = questions.map(readQuestion);
  demand(read.reduce((sum, question) => sum + question.candidates.length ** 2, 0) <= MAX_FIGURES, "too many options");
  demand(isInt(opens) && opens >= 0 && isInt(closes), "a time is no number");
  demand(closes === 0 || opens < closes, "the election closes before it opens");
  demand(isInt(padLen) && padLength(read) <= padLen && padLen <= MAX_PAD_LEN, "pad_len does not hold every choice");
  const { claims_s: claimsS = 1 } = value;
  demand(isInt(claimsS) && 1 <= claimsS && claimsS <= MAX_CLAIMS_S, "the time for claims");
  checkEpochs(value.epochs);
  checkKeys(value);
  demand(hasExactly(roll, ["size", "root"]) && isInt(roll.size) && roll.size >= 0 && isHex(roll.root, 32), "the roll");
  const heaviest = BigInt(Math.max(...value.registrars.map((registrar) => registrar.weight)));
  demand(BigInt(roll.size) * heaviest * BigInt(MOST_POINTS) < 2n ** 53n, "the weights are too large for an exact count");
  demand(isText(origin) && isShown(origin, MAX_NAME) && isHex(genesis, 32), "the origin or the genesis");
  return { ...value, questions: read, opensUs: opens, closesUs: closes, padLen, claimsS: value.claims_s };
}

function checkEpochs(epochs) {
  if (epochs === undefined) return;
  demand(hasExactly(epochs, ["interval_us", "ballots"]), "the epochs");
  demand(isInt(epochs.interval_us) && epochs.interval_us >= LEAST_EPOCH_US, "an epoch is too short");
  demand(isInt(epochs.ballots) && epochs.ballots >= LEAST_EPOCH_BALLOTS, "an epoch has too few ballots");
}

function checkKeys({ trustees, registrars, k }) {
  demand(Array.isArray(trustees) && 1 <= trustees.length && trustees.length <= MAX_TRUSTEES, "the number of trustees");
  demand(isInt(k) && 1 <= k && k <= trustees.length, "k is not between 1 and the number of trustees");
  for (const trustee of trustees) {
    demand(hasExactly(trustee, ["name", "n"]) && isText(trustee.name) && isShown(trustee.name, MAX_NAME), "a trustee");
  }
  demand(Array.isArray(registrars) && registrars.length > 0, "there is no registrar key");
  const isWeight = (weight) => isInt(weight) && 1 <= weight && weight < 2 ** 32;
  demand(registrars.every((one) => hasExactly(one, ["weight", "n"]) && isWeight(one.weight)), "a registrar key");
  demand(new Set(registrars.map((one) => one.weight)).size === registrars.length, "two keys have one weight");
  const moduli = [...trustees, ...registrars].map((one) => one.n);
  demand(moduli.every((n) => isHex(n, 384)), "a modulus is not 384 bytes in hex");
  demand(new Set(moduli).size === moduli.length, "a modulus occurs twice");
}

/** A question as the checks and the count want it. Throws DefinitionError. */
export function readQuestion(value) {
  demand(isObject(value), "a question");
  const extra = Object.keys(OPTIONAL).filter((name) => Object.hasOwn(value, name));
  demand(hasExactly(value, ["text", "method", "options", "max_choices", "rules", ...extra]), "a question's fields");
  const { text, method, options, max_choices: maxChoices, rules, grades = [], write_ins: writeIns = 0, declared = [] } = value;
  demand(isText(text) && isText(method) && isInt(maxChoices) && isInt(writeIns), "a question's fields");
  demand([options, grades, declared].every(isTexts), "a question's fields");
  demand(isObject(rules) && Object.values(rules).every((rule) => isInt(rule) || typeof rule === "boolean"), "the rules");
  // What is empty is left out, or two documents would say the same.
  demand(extra.every((name) => OPTIONAL[name](value[name])), "an empty field is written");
  const candidates = [...options, ...declared, ...(writeIns ? [OTHER] : [])];
  const other = writeIns ? options.length + declared.length : null;
  const question = { text, method, options, maxChoices, rules, grades, writeIns, declared, candidates, other };
  checkQuestion(question);
  return question;
}

function checkQuestion(question) {
  const { text, method, options, grades, declared, candidates, writeIns } = question;
  demand(isShown(text, MAX_TEXT), "the text");
  demand(options.length > 0 && candidates.length <= MAX_OPTIONS, "the number of options");
  for (const names of [[...options, ...declared], grades]) {
    demand(names.every((name) => isShown(name, MAX_NAME)), "a name");
    demand(new Set(names.map((name) => name.normalize("NFC"))).size === names.length, "two names are the same");
  }
  demand(Object.hasOwn(METHODS, method), "the method is not known");
  const { form, questionFlaw } = METHODS[method];
  demand(!writeIns || form === "list", "no names can be written in");
  demand(!grades.length || form === "grades", "the method has no grades");
  for (const flaw of [questionFlaw(question), writeInFlaw(question)]) demand(!flaw, flaw);
}

/** The least multiple of 64 bytes that holds the 2-byte length and the longest valid choice. */
export function padLength(questions) {
  const answers = questions.map((question) => longestWithNames(question, METHODS[question.method].longest(question)));
  return Math.ceil((2 + encode({ answers }).length) / PAD_STEP) * PAD_STEP;
}

/** The answers of a ballot, one list a question; null for anything but a valid choice. */
export function readChoice(questions, data) {
  let value;
  try {
    value = decode(data);
  } catch (error) {
    if (error instanceof DocumentError) return null;
    throw error;
  }
  if (!hasExactly(value, ["answers"]) || !Array.isArray(value.answers)) return null;
  const { answers } = value;
  const isMark = (mark) => isText(mark) || isInt(mark);
  if (!answers.every((answer) => Array.isArray(answer) && answer.every(isMark))) return null;
  if (answers.length !== questions.length) return null;
  const fits = (question, answer) =>
    textsFit(question, answer) && METHODS[question.method].isAnswer(question, answer.filter(isInt));
  return questions.every((question, at) => fits(question, answers[at])) ? answers : null;
}
