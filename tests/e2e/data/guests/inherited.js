// Reads and writes fields under names that every object of the language has by itself.
import { text, transformer } from "./cdp.js";

const names = ["constructor", "toString", "__proto__"];
const fields = (under) => Object.fromEntries(names.map((name) => [name, text(under + name)]));

export const { metadata, transform } = transformer({
  name: "inherited",
  version: "1.0.0",
  summary: "Writes what it reads.",
  reads: fields("/properties/"),
  writes: { ...fields("/traits/"), all: text("/traits/all") },
  apply(event) {
    const all = names.map((name) => String(event[name])).join(" ");
    return { set: event.type === "One" ? { all } : Object.fromEntries([["all", all], ...names.map((name) => [name, event[name]])]) };
  },
});
