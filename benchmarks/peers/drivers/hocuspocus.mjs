// Hocuspocus: Y.Docs over one WebSocket, SQLite on both sides. DOCS=each: a Y.Doc per document; DOCS=one: one for all.
import { HocuspocusProvider, HocuspocusProviderWebsocket } from "@hocuspocus/provider";
import { Server } from "@hocuspocus/server";
import Database from "better-sqlite3";
import { WebSocket } from "ws";
import * as Y from "yjs";
import { json, say, serve } from "./driver.mjs";

const [role, folder, hub, names] = process.argv.slice(2);
const db = new Database(`${folder}/docs.db`);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec("CREATE TABLE IF NOT EXISTS updates (name TEXT, body BLOB)");
const append = db.prepare("INSERT INTO updates VALUES (?, ?)");
const forget = db.prepare("DELETE FROM updates WHERE name = ?");
const replace = db.transaction((name, body) => (forget.run(name), append.run(name, body)));

function asY(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return new Y.Map(Object.entries(value).map(([name, inner]) => [name, asY(inner)]));
}

if (role === "hub") {
  const stored = db.prepare("SELECT body FROM updates WHERE name = ?").pluck();
  const server = new Server({
    port: 0, address: "127.0.0.1", quiet: true, websocketOptions: { perMessageDeflate: true },
    async onLoadDocument({ documentName, document }) {
      for (const body of stored.all(documentName)) Y.applyUpdate(document, body);
    },
    async onStoreDocument({ documentName, document }) {
      replace(documentName, Y.encodeStateAsUpdate(document));
    },
  });
  await server.listen();
  say({ port: server.address.port });
} else {
  const each = process.env.DOCS === "each";
  const docs = new Map();
  const doc = (name) => {
    if (!docs.has(name)) {
      const made = new Y.Doc();
      made.on("update", (body) => append.run(name, body));
      docs.set(name, made);
    }
    return docs.get(name);
  };
  const root = (name) => (each ? doc(name).getMap("content") : doc("all").getMap("content").get(name));
  let socket = null, providers = [];
  await serve({
    load(documents) {
      if (each) {
        for (const [name, content] of Object.entries(documents)) {
          doc(name).transact(() => {
            for (const [key, value] of Object.entries(content)) root(name).set(key, asY(value));
          });
        }
      } else {
        doc("all").transact(() => {
          for (const [name, content] of Object.entries(documents)) doc("all").getMap("content").set(name, asY(content));
        });
      }
    },
    connect() {
      socket = new HocuspocusProviderWebsocket({ url: `ws://${hub}`, WebSocketPolyfill: WebSocket, messageReconnectTimeout: 1e9 });
      providers = (each ? json(names) : ["all"]).map((name) => {
        const provider = new HocuspocusProvider({ websocketProvider: socket, name, document: doc(name), awareness: null });
        provider.attach();
        return provider;
      });
    },
    disconnect() {
      for (const provider of providers) provider.destroy();
      socket.destroy();
    },
    edit(name, path, value) {
      const parent = path.slice(0, -1).reduce((map, key) => map.get(key), root(name));
      parent.set(path.at(-1), asY(value));
    },
    get: (name) => root(name)?.toJSON(),
  });
}
