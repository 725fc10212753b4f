// Chromium with JsSIP in its pages, which the scripts that speak with our agents share.
import { createServer } from "node:http";
import { build } from "esbuild";
import { chromium } from "playwright-core";

// A browser, the address of a page that has JsSIP, and how to close both.
export async function open() {
  const bundle = await build({
    stdin: { contents: 'import JsSIP from "jssip"; globalThis.JsSIP = JsSIP;', resolveDir: import.meta.dirname },
    bundle: true, format: "iife", define: { global: "globalThis" }, write: false, logLevel: "error",
  });
  const page = `<!doctype html><title>phone</title><script>${bundle.outputFiles[0].text.replaceAll("</script", "<\\/script")}</script>`;
  // A page of the loopback may use the microphone and open WebSockets to the loopback.
  const server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html; charset=utf-8").end(page));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--autoplay-policy=no-user-gesture-required",
      "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
      // A device that takes audio at its pace, where the machine has none: nothing is decoded that nobody takes.
      "--disable-audio-output",
      // Sockets of media stand at every address instead of at each interface's, so that packets to the loopback come from it.
      "--webrtc-ip-handling-policy=default_public_and_private_interfaces",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
    ],
  });
  const close = async () => { await browser.close(); server.close(); };
  return { browser, url: `http://127.0.0.1:${server.address().port}/`, close };
}

// Of a description that the page sends: instead of the address that the system would take to the outside the loopback's. Nothing
// of a test goes anywhere else. It runs in the page.
export const atLoopback = (sdp) => sdp
  .replace(/^a=candidate:\S+ \d+ (tcp \d+ |udp \d+ \S*:).*\r\n/gim, "")
  .replace(/^(a=candidate:\S+ \d+ udp \d+) \S+/gim, "$1 127.0.0.1")
  .replace(/^c=IN IP[46] \S+/gm, "c=IN IP4 127.0.0.1");
