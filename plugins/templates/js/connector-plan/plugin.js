// Keeps a list at another system in step with an audience, up to 100 people in a request.
import * as cdp from "./cdp.js";

const HOST = "https://lists.example.com";
const PEOPLE_MAX = 100;

export const { metadata, connector } = cdp.connector({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Keeps a list in step with an audience.",
  configSchema: { type: "object", required: ["list"], properties: { list: { type: "string" } } },
  hosts: [HOST],
  secrets: ["token"],

  check: ({ list }) => (typeof list === "string" && list !== "" ? [] : ["/list: is the name of the list"]),

  plan(items, { list }) {
    const planned = [];
    for (const [method, leaves] of [["PUT", false], ["DELETE", true]]) {
      const some = [...items.keys()].filter((at) => (items[at].change === "removed") === leaves);
      for (let from = 0; from < some.length; from += PEOPLE_MAX) {
        const covers = some.slice(from, from + PEOPLE_MAX);
        planned.push({
          covers,
          request: {
            method,
            url: `${HOST}/v1/lists/${list}/people`,
            headers: { "content-type": "application/json", authorization: cdp.secret("token") },
            body: covers.map((at) => items[at].document),
            idempotencyKey: items[covers[0]].id,
          },
        });
      }
    }
    return planned;
  },

  settle(items, { status }) {
    if (status >= 200 && status < 300) return items.map(() => "delivered");
    if (status === 422) return items.map(() => ({ rejected: "the list does not take them" }));
    return items.map(() => ({ retry: null }));
  },
});
