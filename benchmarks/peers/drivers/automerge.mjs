// automerge-repo: an Automerge document per document, files on both sides, WebSocket between.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { Repo, parseAutomergeUrl, stringifyAutomergeUrl } from "@automerge/automerge-repo";
import * as Automerge from "@automerge/automerge";
import { NodeWSServerAdapter, WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs";
import { WebSocketServer } from "ws";
import { at, json, put, say, serve } from "./driver.mjs";

const [role, folder, hub, names] = process.argv.slice(2);
const storage = new NodeFSStorageAdapter(folder);

if (role === "hub") {
  const http = createServer();
  const network = [new NodeWSServerAdapter(new WebSocketServer({ server: http }))];
  new Repo({ network, storage, peerId: "hub" });
  http.listen(0, "127.0.0.1", () => say({ port: http.address().port }));
} else {
  const repo = new Repo({ network: [], storage });
  const handles = new Map();
  // Every side knows a document's id from its name.
  const url = (name) => stringifyAutomergeUrl({ documentId: createHash("md5").update(name).digest() });
  const id = (name) => parseAutomergeUrl(url(name)).documentId;
  let adapter = null;
  await serve({
    load(documents) {
      for (const [name, content] of Object.entries(documents)) {
        handles.set(name, repo.import(Automerge.save(Automerge.from(content)), { docId: id(name) }));
      }
    },
    async connect() {
      adapter = new WebSocketClientAdapter(`ws://${hub}`);
      // What is looked for before anyone is there is not available, and stays so.
      const there = new Promise((found) => repo.networkSubsystem.once("peer", found));
      repo.networkSubsystem.addNetworkAdapter(adapter);
      await there;
      for (const name of json(names)) {
        if (!handles.has(name)) repo.find(url(name), { allowableStates: ["ready", "unavailable"] }).then((handle) => handles.set(name, handle));
      }
    },
    disconnect() {
      repo.networkSubsystem.removeNetworkAdapter(adapter);
    },
    async edit(name, path, value) {
      handles.get(name).change((content) => put(content, path, value));
      await repo.flush([id(name)]);
    },
    // A document is ready before it has content.
    get(name) {
      const handle = handles.get(name);
      return handle?.isReady() && Object.keys(handle.doc()).length ? JSON.parse(JSON.stringify(handle.doc())) : undefined;
    },
    alternatives(name, path) {
      const parent = at(handles.get(name).doc(), path.slice(0, -1));
      return Object.values(Automerge.getConflicts(parent, path.at(-1)) ?? {});
    },
  });
}
