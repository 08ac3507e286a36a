// Single transferable vote by the Scottish rules, in integers of a hundred-thousandth of a vote.

import { areMarks, breakTie, lines, longestMarks, maxChoicesFlaw, result, roundEntry, rulesFlaw, seatsOf, seatsRule, sorted, tieEntry } from "./method.mjs";

const ONE = 100_000n;

export const stv = {
  form: "list",
  questionFlaw: (question) => maxChoicesFlaw(question, lines(question)) || rulesFlaw(question, seatsRule(question)),
  isAnswer: areMarks,
  longest: longestMarks,
  count(question, ballots, lot) {
    const given = sorted(ballots, (ranks) => ranks.length === 0);
    const count = new Count(question, given, lot);
    const rounds = count.run();
    return result(question, given, rounds, count.elected);
  },
};

class Count {
  constructor(question, { total, blank, marked }, lot) {
    Object.assign(this, { other: question.other, seats: seatsOf(question), lot, valid: total - blank });
    this.quota = Math.floor(this.valid / (this.seats + 1)) + 1;
    this.bar = BigInt(this.quota) * ONE;
    this.elected = [];
    this.unspent = [];
    this.history = [];
    const numbers = question.candidates.map((_, number) => number);
    this.continuing = new Set(numbers);
    this.votes = new Map(numbers.map((number) => [number, 0n]));
    this.piles = new Map(numbers.map((number) => [number, []]));
    for (const [ranks, weight] of marked) this.put({ ranks, place: 0, count: BigInt(weight), value: ONE });
  }

  run() {
    const rounds = [];
    for (;;) {
      this.history.push(new Map(this.votes));
      const elected = this.elect();
      const { surplus, eliminated, tie } = this.next();
      rounds.push(this.entry(elected, surplus, eliminated, tie));
      if (surplus.length) this.passOn(surplus[0]);
      else if (eliminated.length) this.exclude(eliminated[0]);
      else return rounds;
    }
  }

  put(paper) {
    const holder = paper.ranks[paper.place];
    this.votes.set(holder, this.votes.get(holder) + paper.count * paper.value);
    this.piles.get(holder).push(paper);
  }

  /** Whoever reached the quota, and whoever is left for the last vacancies: most votes first. */
  elect() {
    const left = [...this.continuing].filter((option) => option !== this.other);
    const last = this.valid && left.length <= this.seats - this.elected.length;
    const reached = last ? left : left.filter((option) => this.votes.get(option) >= this.bar);
    reached.sort((a, b) => this.before(a, b));
    this.elected.push(...reached);
    for (const option of reached) this.continuing.delete(option);
    this.unspent.push(...reached.filter((option) => this.votes.get(option) > this.bar));
    return reached;
  }

  /** Order of equal ones: who had more at the latest earlier stage, else who is first in the lot. */
  before(a, b) {
    for (const votes of [...this.history].reverse()) {
      if (votes.get(a) !== votes.get(b)) return votes.get(a) > votes.get(b) ? -1 : 1;
    }
    return this.lot.indexOf(a) - this.lot.indexOf(b);
  }

  next() {
    const over = this.elected.length === this.seats || !this.valid;
    if (over || ![...this.continuing].some((option) => option !== this.other)) return { surplus: [], eliminated: [] };
    if (this.unspent.length) {
      const [chosen, tie] = this.choose(this.unspent, true);
      return { surplus: [chosen], eliminated: [], tie };
    }
    if (this.continuing.has(this.other)) return { surplus: [], eliminated: [this.other] };
    const [chosen, tie] = this.choose([...this.continuing], false);
    return { surplus: [], eliminated: [chosen], tie };
  }

  choose(options, best) {
    const counts = options.map((option) => this.votes.get(option));
    const extreme = counts.reduce((a, b) => (best === a > b ? a : b));
    const tied = options.filter((option) => this.votes.get(option) === extreme);
    if (tied.length === 1) return [tied[0], undefined];
    const [chosen, brokenBy] = breakTie(tied, this.history.slice(0, -1), this.lot, best);
    return [chosen, tieEntry(tied, [chosen], brokenBy)];
  }

  passOn(option) {
    this.unspent.splice(this.unspent.indexOf(option), 1);
    const votes = this.votes.get(option);
    const papers = this.piles.get(option);
    this.piles.set(option, []);
    this.votes.set(option, this.bar);
    for (const paper of papers) this.move(paper, ((votes - this.bar) * paper.value) / votes);
  }

  exclude(option) {
    const papers = this.piles.get(option);
    this.continuing.delete(option);
    this.votes.delete(option);
    this.piles.delete(option);
    for (const paper of papers) this.move(paper, paper.value);
  }

  /** To the next available preference; without one the papers are in no pile any more. */
  move({ ranks, place, count }, value) {
    const following = ranks.findIndex((option, at) => at > place && this.continuing.has(option));
    if (following >= 0) this.put({ ranks, place: following, count, value });
  }

  entry(elected, surplus, eliminated, tie) {
    const held = [...this.votes.values()].reduce((a, b) => a + b, 0n);
    const inactive = { non_transferable: text(BigInt(this.valid) * ONE - held) };
    const votes = new Map([...this.votes].map(([number, value]) => [number, text(value)]));
    const entry = roundEntry(this.history.length, votes, { inactive, threshold: this.quota, elected: [...elected], eliminated });
    return { ...entry, surplus, ...(tie && { tie }) };
  }
}

const text = (votes) => `${votes / ONE}.${String(votes % ONE).padStart(5, "0")}`;
