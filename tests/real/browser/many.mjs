// Many web phones in one page of Chromium, each with a WebSocket of its own: they call, one after the other, and stay in their calls,
// listening, until the input ends. For each, one line: {connected_ms}, from the answer to the keys.
//   node many.mjs URL COUNT PER_SECOND
import { atLoopback, open } from "./chromium.mjs";

const [url, count, rate] = process.argv.slice(2);
const { browser, url: page, close } = await open();
const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
await tab.exposeFunction("tell", (line) => process.stdout.write(`${JSON.stringify(line)}\n`));
await tab.addInitScript(`globalThis.atLoopback = ${atLoopback}`);
await tab.goto(page);
// The audio is one for all, as the reference audio of our own is; each phone codes, sends, receives and plays for itself.
await tab.evaluate(async () => {
  const audio = new AudioContext();
  await audio.resume();
  const out = audio.createMediaStreamDestination();
  const tone = audio.createOscillator();
  tone.connect(out);
  tone.start();
  globalThis.sound = out.stream;
  globalThis.players = [];
});
for (let number = 0; number < Number(count); number += 1) {
  await tab.evaluate(({ url, number }) => {
    const ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(url)], uri: `sip:${1000 + number}@127.0.0.1`, register: false,
      session_timers: false });
    let answered = 0;
    ua.on("newRTCSession", ({ session }) => {
      const peer = session.connection;
      session.on("icecandidate", ({ ready }) => setTimeout(ready, 100));
      session.on("sdp", (description) => {
        if (description.originator === "remote") answered = performance.now();
        // G.711 alone, as on the other side of the comparison.
        else description.sdp = globalThis.atLoopback(description.sdp).replace(/^(m=audio \d+ \S+) .*/m, "$1 0");
      });
      session.on("failed", ({ cause }) => globalThis.tell({ failed: cause }));
      peer.addEventListener("track", ({ track }) => {
        const player = new Audio();
        player.srcObject = new MediaStream([track]);
        player.play();
        globalThis.players.push(player);
      });
      peer.addEventListener("connectionstatechange", () => {
        if (peer.connectionState === "connected") globalThis.tell({ connected_ms: performance.now() - answered });
      });
    });
    ua.on("connected", () => ua.call("sip:2000@127.0.0.1", { mediaStream: globalThis.sound, pcConfig: { iceServers: [] } }));
    ua.start();
  }, { url, number });
  await new Promise((passed) => setTimeout(passed, 1000 / Number(rate)));
}
process.stdin.resume();
await new Promise((ended) => process.stdin.on("end", ended));
await close();
