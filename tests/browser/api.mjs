// What a page says to the nodes, and how it hears them (docs/api.md).

/** A node's final word. Decide by `refusal`, a fixed name; the message is for people. */
export class Refused extends Error {
  constructor({ status, refusal, detail }) {
    super(detail);
    Object.assign(this, { status, refusal });
  }
}

/** Nothing was settled: what was asked may be done or not. The same request may go to any node, again and again. */
export class NoAnswer extends Error {}

/** Nothing goes along that the page did not write: no cookie, and not the page's own address. */
export const ALONE = { credentials: "omit", referrerPolicy: "no-referrer" };

/** One request to the first of `nodes` that answers. Throws Refused, NoAnswer. */
export async function send(nodes, path, options = {}) {
  let failure;
  for (const node of nodes) {
    try {
      return await sendTo(node, path, options);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function sendTo(node, path, options) {
  let response;
  try {
    response = await fetch(node + path, { ...ALONE, ...options });
  } catch (error) {
    throw new NoAnswer(error.message); // A browser does not tell a page why.
  }
  if (response.ok || response.status === 304) return response;
  const problem = await response.json().catch(() => ({})); // From something in between, it may be anything.
  if (response.status >= 500 || response.status === 429) {
    throw new NoAnswer(`${problem.refusal}: ask again in ${response.headers.get("Retry-After")} s`);
  }
  throw new Refused(problem);
}

/** A user's requests: with the access token, and never answered from a state older than one that was seen. */
export class Account {
  #token = "";
  #index = 0;

  constructor(nodes) {
    this.nodes = nodes;
  }

  async ask(method, path, body, more = {}) {
    const headers = { ...more };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method === "POST") headers["Idempotency-Key"] = crypto.randomUUID();
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (this.#index) headers["Ledger-Index"] = String(this.#index);
    const response = await send(this.nodes, path, { method, headers, body: body && JSON.stringify(body) });
    this.#index = Math.max(this.#index, Number(response.headers.get("Ledger-Index")));
    return response;
  }

  /** `way` is "register" or "login"; `code` gives the code that was mailed. The user. */
  async enter(way, email, password, code) {
    const { challenge } = await (await this.ask("POST", `/api/auth/${way}`, { email, password })).json();
    const reply = await this.ask("POST", "/api/auth/otp/verify", { challenge, code: await code() });
    const { access_token: token, user } = await reply.json();
    this.#token = token;
    return user;
  }
}
