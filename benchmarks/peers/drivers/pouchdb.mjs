// PouchDB on LevelDB, and express-pouchdb as its hub: whole documents, revisions, losers kept as conflicts.
import { createRequire } from "node:module";
import { at, put, say, serve } from "./driver.mjs";

const require = createRequire(import.meta.url);
const PouchDB = require("pouchdb");
const [role, folder, hub] = process.argv.slice(2);

if (role === "hub") {
  const express = require("express");
  const Stored = PouchDB.defaults({ prefix: `${folder}/` });
  const app = express();
  app.use("/", require("express-pouchdb")(Stored, {
    mode: "minimumForPouchDB", inMemoryConfig: true, logPath: `${folder}/log.txt`,
  }));
  const server = app.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
} else {
  const db = new PouchDB(`${folder}/replica`);
  const bare = ({ _id, _rev, _conflicts, ...content }) => content;
  let link = null;
  await serve({
    async load(documents) {
      await db.bulkDocs(Object.entries(documents).map(([_id, content]) => ({ _id, ...content })));
    },
    connect() {
      link = db.sync(`http://${hub}/config`, { live: true, retry: true });
      link.on("error", (error) => process.stderr.write(`${error}\n`));
    },
    async disconnect() {
      link.cancel();
      await new Promise((ended) => link.on("complete", ended));
    },
    async edit(name, path, value) {
      const document = await db.get(name);
      put(document, path, value);
      await db.put(document);
    },
    get: (name) => db.get(name).then(bare, () => undefined),
    async alternatives(name, path) {
      const { _conflicts = [] } = await db.get(name, { conflicts: true });
      const losers = await Promise.all(_conflicts.map((rev) => db.get(name, { rev })));
      return losers.map((each) => at(each, path));
    },
  });
}
