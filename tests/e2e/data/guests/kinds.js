// Writes what it reads, of every kind, beside where it stood; says what is null, and takes away what is not there.
import { REMOVE, boolean, decimal, integer, json, number, text, transformer } from "./cdp.js";

const kinds = { text, integer, number, boolean, decimal, json };
const fields = (under) => Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, kind(under + name)]));

export const { metadata, transform } = transformer({
  name: "kinds",
  version: "1.0.0",
  summary: "Writes what it reads.",
  reads: fields("/properties/"),
  writes: { ...fields("/traits/"), mistyped: text("/traits/mistyped") },
  apply(event) {
    const set = {};
    for (const name of Object.keys(kinds)) set[name] = event[name] === undefined ? REMOVE : event[name];
    if (event.mistyped.length > 0) set.mistyped = event.mistyped.join(" ");
    return { set };
  },
});
