// The types of cdp.js, where the helpers are described.

export type Kind = "text" | "integer" | "number" | "boolean" | "decimal" | "json";
export interface Field<T> {
  pointer: string;
  kind: Kind;
  /** Only for the compiler: what a value of this field is. */
  readonly value?: T;
}
type Maker<T> = (pointer: string) => Field<T>;
type Fields = Record<string, Field<unknown>>;
type Values<F extends Fields> = { [N in keyof F]?: (F[N] extends Field<infer T> ? T : never) | null };

export const text: Maker<string>;
export const integer: Maker<number>;
export const number: Maker<number>;
export const boolean: Maker<boolean>;
export const json: Maker<unknown>;
export const decimal: Maker<string> & {
  add(a: string, b: string): string;
  sub(a: string, b: string): string;
  cmp(a: string, b: string): number;
};
export const REMOVE: unique symbol;
export function iso(ms: number): string;
export const say: Record<"debug" | "info" | "warn" | "error", (message: unknown) => void>;

export type Event<F extends Fields> = {
  type: string;
  occurredAt: number;
  receivedAt: number;
  mistyped: readonly string[];
} & Values<F>;

export interface About<F extends Fields, C> {
  name: string;
  version: string;
  summary: string;
  events?: string[];
  reads?: F;
  configSchema?: object;
  tables?: string[];
  check?(settings: C): string[] | undefined;
}

type OutputValue<K extends Kind> = K extends "integer" | "number"
  ? number
  : K extends "boolean"
    ? boolean
    : K extends "json"
      ? unknown
      : string;

export interface Deriver<S, F extends Fields, O extends Record<string, Kind>, C> extends About<F, C> {
  outputs: O;
  laws?: ("commutative" | "mergeable" | "idempotent")[];
  stateVersion?: number;
  maxStateBytes?: number;
  lookbackDays?: number;
  start(config: C): S;
  step(state: S, event: Event<F>, config: C): S | void;
  unstep?(state: S, event: Event<F>, config: C): S | void;
  join?(a: S, b: S, config: C): S;
  migrate?(state: unknown, oldVersion: number, config: C): S;
  read(state: S, now: number, config: C): { [N in keyof O]?: OutputValue<O[N]> | null } & { validUntil?: number };
}

export function deriver<
  S,
  const F extends Fields,
  const O extends Record<string, Kind>,
  C = Record<string, unknown>,
>(plugin: Deriver<S, F, O, C>): { metadata: object; derivation: object; retraction: object; migration: object };

declare const decision: unique symbol;
export interface Decision {
  [decision]: true;
}
export interface Changes<W extends Fields> {
  set?: { [N in keyof W]?: (W[N] extends Field<infer T> ? T : never) | null | typeof REMOVE };
  events?: { type: string; occurredAt?: number; properties?: object; traits?: object }[];
}
export interface Transformer<F extends Fields, W extends Fields, C> extends About<F, C> {
  writes?: W;
  apply(event: Event<F>, config: C): Changes<W> | Decision | void;
}
export function transformer<const F extends Fields, const W extends Fields, C = Record<string, unknown>>(
  plugin: Transformer<F, W, C>,
): { metadata: object; transform: object };
export function drop(reason?: string): Decision;
export function reject(why: string): Decision;
export function retry(ms?: number): Decision;
export function misconfigured(why: string): Decision;

export interface Secret {
  secret: string;
}
export function secret(name: string): Secret;
export interface Item<D> {
  id: string;
  change: "added" | "updated" | "removed";
  document: D;
  attempt: number;
}
export interface Request {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers?: Record<string, string | Secret>;
  /** Text, bytes, or what JSON can say. */
  body?: unknown;
  timeoutMs?: number;
  idempotencyKey?: string;
}
export interface Planned {
  covers: number[];
  request: Request;
}
export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** Why there is none. */
  error?: { tag: string; val?: string };
}
export type Verdict = "delivered" | { retry: number | null } | { rejected: string };
export interface Connector<C, D> extends About<Fields, C> {
  hosts: string[];
  secrets?: string[];
  plan(items: Item<D>[], config: C, now: number): Planned[];
  settle(items: Item<D>[], reply: Reply, config: C): Verdict[];
}
export function connector<C = Record<string, unknown>, D = Record<string, unknown>>(
  plugin: Connector<C, D>,
): { metadata: object; connector: object };

export interface Outside {
  send(request: Request): Reply;
  get(key: string): string | undefined;
  put(key: string, text: string, ttlSeconds?: number): void;
}
export interface Session<C, D> extends About<Fields, C> {
  hosts: string[];
  secrets?: string[];
  deliver(items: Item<D>[], config: C, outside: Outside, now: number): Verdict[];
}
export function session<C = Record<string, unknown>, D = Record<string, unknown>>(
  plugin: Session<C, D>,
  outside: Outside,
): { metadata: object; sessionConnector: object };
/** Of the contract's interfaces `http` and `kv`, as they are imported. */
export function outside(http: unknown, kv: unknown): Outside;
