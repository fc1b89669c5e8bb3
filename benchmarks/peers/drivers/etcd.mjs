// etcd: a client that reads everything and watches. It keeps nothing on disk and cannot write offline.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { put, say, serve, servers } from "./driver.mjs";

const { Etcd3 } = createRequire(import.meta.url)("etcd3");
const [role, folder, hub] = process.argv.slice(2);

const freePort = () => new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

if (role === "hub") {
  const port = await freePort(), peer = await freePort();
  const words = ["--data-dir", folder, "--listen-client-urls", `http://127.0.0.1:${port}`,
    "--advertise-client-urls", `http://127.0.0.1:${port}`, "--listen-peer-urls", `http://127.0.0.1:${peer}`,
    "--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`, "--initial-cluster", `default=http://127.0.0.1:${peer}`];
  const server = spawn(process.env.ETCD, words, { stdio: "ignore" });
  servers.push(server);
  const client = new Etcd3({ hosts: `127.0.0.1:${port}` });
  for (;;) {
    try { await client.get("ready"); break; } catch { await new Promise((wake) => setTimeout(wake, 100)); }
  }
  client.close();
  say({ port });
} else {
  const held = new Map();
  let client = null;
  await serve({
    async load(documents) {
      const loader = new Etcd3({ hosts: hub });
      for (const [name, content] of Object.entries(documents)) await loader.put(name).value(JSON.stringify(content));
      loader.close();
    },
    async connect() {
      client = new Etcd3({ hosts: hub });
      const watch = await client.watch().prefix("acme/").create();
      watch.on("put", ({ key, value }) => held.set(key.toString(), JSON.parse(value.toString())));
      const all = await client.getAll().prefix("acme/").strings();
      for (const [name, text] of Object.entries(all)) held.set(name, JSON.parse(text));
    },
    disconnect() {
      client.close();
      client = null;
    },
    async edit(name, path, value) {
      if (!client) throw new Error("it cannot write offline");
      const content = structuredClone(held.get(name));
      put(content, path, value);
      await client.put(name).value(JSON.stringify(content));
    },
    get: (name) => held.get(name),
  });
}
