// NATS: JetStream KV at a hub, a leaf server with its own JetStream at each edge. Whole documents, one revision each.
//
// An edge writes into a stream of its own (offline too), which the hub's bucket sources; it reads its mirror of that
// bucket, over which its own writes lie until the mirror has them.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { put, say, serve, servers } from "./driver.mjs";

const { connect, StorageType } = createRequire(import.meta.url)("nats");
const [role, folder, hub] = process.argv.slice(2);
const text = new TextEncoder(), plain = new TextDecoder();
// A subject's parts are told apart by dots, which no document's name has.
const subject = (name) => name.replaceAll("/", ".");
const document = (key) => key.replaceAll(".", "/");

const freePort = () => new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

async function start(domain, leaf) {
  const port = await freePort();
  writeFileSync(`${folder}/server.conf`, `
    host: 127.0.0.1, port: ${port}, server_name: ${domain}
    jetstream { store_dir: "${folder}/js", domain: ${domain}, sync_interval: always }
    ${leaf}`);
  const server = spawn(process.env.NATS_SERVER, ["-c", `${folder}/server.conf`, "-l", `${folder}/log.txt`]);
  servers.push(server);
  for (;;) {
    try {
      return { server, port, client: await connect({ servers: `127.0.0.1:${port}` }) };
    } catch { await new Promise((wake) => setTimeout(wake, 20)); }
  }
}

async function stop({ server, client }) {
  await client.close();
  const gone = new Promise((ended) => server.on("exit", ended));
  server.kill("SIGTERM");
  await gone;
}

const bucket = { storage: StorageType.File, max_msgs_per_subject: 1, allow_direct: true };

if (role === "hub") {
  const leaves = await freePort();
  const running = await start("hub", `leafnodes { host: 127.0.0.1, port: ${leaves}, compression: s2_best }`);
  const jsm = await running.client.jetstreamManager();
  await jsm.streams.add({ ...bucket, name: "config", subjects: ["join"] });
  // An edge that joins names its stream; the hub's bucket sources it from then on.
  const sources = [];
  running.client.subscribe("edges.join", {
    callback: async (_, message) => {
      const domain = plain.decode(message.data);
      const transform = [{ src: `own.${domain}.>`, dest: "config.>" }];
      sources.push({ name: `own_${domain}`, external: { api: `$JS.${domain}.API`, deliver: "" }, subject_transforms: transform });
      await jsm.streams.update("config", { ...bucket, name: "config", subjects: ["join"], sources: [...sources] });
      message.respond();
    },
  });
  say({ port: leaves });
} else {
  const domain = `e${process.pid}`;
  const remote = `leafnodes { remotes: [ { url: "nats-leaf://${hub}", compression: s2_best } ], reconnect: 1 }`;
  const held = new Map(), own = new Map();
  let running = null, jetstream = null, joined = false, seen = 0;

  async function open(leaf) {
    running = await start(domain, leaf);
    jetstream = running.client.jetstream();
    const jsm = await running.client.jetstreamManager();
    await jsm.streams.add({ ...bucket, name: `own_${domain}`, subjects: [`own.${domain}.>`] }).catch(() => {});
    return jsm;
  }
  async function write(name, content) {
    own.set(name, content);
    await jetstream.publish(`own.${domain}.${subject(name)}`, text.encode(JSON.stringify(content)));
  }
  await open("");
  await serve({
    async load(documents) {
      for (const [name, content] of Object.entries(documents)) await write(name, content);
    },
    async connect() {
      await stop(running);
      const jsm = await open(remote);
      while (!joined) {
        await running.client.request("edges.join", domain, { timeout: 1000 }).then(() => (joined = true), () => {});
      }
      await jsm.streams.add({
        ...bucket, name: "mirror", mirror: { name: "config", external: { api: "$JS.hub.API", deliver: "" } },
      }).catch(() => {});
      const consumer = await jetstream.consumers.get("mirror");
      (async () => {
        for await (const message of await consumer.consume()) {
          // After a restart the mirror comes again from its beginning: what was seen says nothing new.
          if (message.seq <= seen) continue;
          seen = message.seq;
          const name = document(message.subject.slice("config.".length));
          held.set(name, message.json());
          own.delete(name);
        }
      })().catch(() => {});
      return { pids: [running.server.pid] };
    },
    async disconnect() {
      await stop(running);
      await open("");
    },
    async edit(name, path, value) {
      const content = structuredClone(own.get(name) ?? held.get(name));
      put(content, path, value);
      await write(name, content);
    },
    get: (name) => own.get(name) ?? held.get(name),
  }, [running.server.pid]);
}
