// Hands an audience over in two steps: opens a batch at another system, then sends the people into it.
import http from "cdp:plugin/http@1.0.0";
import kv from "cdp:plugin/kv@1.0.0";
import * as cdp from "./cdp.js";

const HOST = "https://batches.example.com";

interface Config {
  list: string;
}
interface Person {
  email: string;
}

const plugin: cdp.Session<Config, Person> = {
  name: "{{name}}",
  version: "0.1.0",
  summary: "Hands an audience over as a batch.",
  configSchema: { type: "object", required: ["list"], properties: { list: { type: "string" } } },
  hosts: [HOST],
  secrets: ["token"],

  check: ({ list }) => (typeof list === "string" && list !== "" ? [] : ["/list: is the name of the list"]),

  deliver(items, { list }, { send, put }) {
    if (items.length === 0) return [];
    const request = (method: "POST" | "PUT", path: string, body: unknown) => ({
      method,
      url: HOST + path,
      headers: { "content-type": "application/json", authorization: cdp.secret("token") },
      body,
      // The same delivery tried again finds the batch that it opened before.
      idempotencyKey: items[0].id,
    });
    const again = items.map(() => ({ retry: null }));
    const opened = send(request("POST", `/v1/lists/${list}/batches`, ""));
    if (opened.status !== 201) return again;
    const batch = (opened.body ?? "").trim();
    const rows = items.map(({ change, document }) => ({ [change === "removed" ? "remove" : "put"]: document }));
    const sent = send(request("PUT", `/v1/batches/${batch}`, rows));
    try {
      // What was sent last, to look at when something goes wrong; nothing rests on it.
      put("last-batch", batch);
    } catch {
      cdp.say.warn("the batch's name could not be kept");
    }
    return sent.status === 204 ? items.map(() => "delivered" as const) : again;
  },
};

export const { metadata, sessionConnector } = cdp.session(plugin, cdp.outside(http, kv));
