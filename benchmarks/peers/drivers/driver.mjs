// What every driver says and hears: JSON, one object a line.
//
//   node PEER.mjs hub FOLDER                  prints {"port": ...}, then serves until it is killed
//   node PEER.mjs edge FOLDER HUB NAMES       prints {"pids": [...]}: whose memory is the edge's
//
// and the edge answers each of these, with {"error": ...} when it fails:
//
//   {"do": "load", "file": F}            hold these documents              {}
//   {"do": "connect"}                    connect, and stay connected       {}
//   {"do": "disconnect"}                                                   {}
//   {"do": "edit", "file": F}            write each edit, durably          {}
//   {"do": "until", "file": F}           until each field has the last value that the edits give it     {}
//   {"do": "until_held"}                 until it holds a document of every name                        {}
//   {"do": "until_documents", "file": F} until it holds these documents    {}
//   {"do": "fields", "files": [F, ...]}  values now, and values that a user could still find beside them
//
// NAMES is a file with the names of all documents: which there are is told to every edge beforehand.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

const LOOK_MS = 1;

// Servers that a driver started: they end with it.
export const servers = [];
export const say = (object) => process.stdout.write(JSON.stringify(object) + "\n");
export const json = (file) => JSON.parse(readFileSync(file, "utf8"));
export const at = (content, path) => path.reduce((value, name) => value?.[name], content);

export function put(content, path, value) {
  const last = path.at(-1);
  at(content, path.slice(0, -1))[last] = value;
}

// An edge has load(documents), connect(), disconnect(), edit(row), get(name) and perhaps alternatives(name).
export async function serve(edge, pids = [process.pid]) {
  const verbs = {
    load: ({ file }) => edge.load(json(file)),
    connect: () => edge.connect(),
    disconnect: () => edge.disconnect(),
    edit: async ({ file }) => {
      for (const row of json(file)) await edge.edit(row.document, row.path, row.value);
    },
    until: async ({ file }) => {
      const rows = Object.values(Object.fromEntries(json(file).map((row) => [place(row), row])));
      await untilAll(rows, async ({ document, path, value }) =>
        isDeepStrictEqual(at(await edge.get(document), path), value));
    },
    until_documents: async ({ file }) => {
      await untilAll(Object.entries(json(file)), async ([name, content]) =>
        isDeepStrictEqual(await edge.get(name), content));
    },
    until_held: async () => {
      await untilAll(json(process.argv[5]), async (name) => (await edge.get(name)) !== undefined);
    },
    fields: async ({ files }) => {
      const rows = files.flatMap(json);
      const values = [], others = [];
      for (const { document, path } of rows) {
        values.push(at(await edge.get(document), path) ?? null);
        const kept = edge.alternatives ? await edge.alternatives(document, path) : [];
        others.push(kept);
      }
      return { values, others };
    },
  };
  say({ pids });
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    try {
      say((await verbs[asked.do](asked)) ?? {});
    } catch (error) {
      process.stderr.write(`${error?.stack ?? error}\n`);
      say({ error: String(error?.message ?? error) });
    }
  }
  process.exit(0);
}

const place = ({ document, path }) => JSON.stringify([document, path]);

// Looks at what is still missing, from the front: what has come is not looked at again.
async function untilAll(missing, holds) {
  missing = [...missing].reverse();
  while (missing.length) {
    if (await holds(missing.at(-1))) missing.pop();
    else await new Promise((wake) => setTimeout(wake, LOOK_MS));
  }
}

process.on("unhandledRejection", (error) => process.stderr.write(`unhandled: ${error?.stack ?? error}\n`));
// Whoever asked is gone: nobody stays behind.
process.stdin.on("end", () => process.exit(0));
if (process.argv[2] === "hub") process.stdin.resume();
process.on("exit", () => servers.forEach((each) => each.kill()));
