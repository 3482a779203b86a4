// SPDX-License-Identifier: MIT
// usage: node xmpp.mjs SERVICE DOMAIN USER PASSWORD PEER
// @xmpp/client logs in, writes to PEER, and ends when PEER has answered.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.ROOKERY_NODE}/`);
const { client, xml } = require("@xmpp/client");
const [service, domain, username, password, peer] = process.argv.slice(2);

globalThis.WebSocket = require("ws");
const xmpp = client({ service, domain, username, password, resource: "js" });

xmpp.on("error", (error) => {
	console.error(error);
	process.exit(1);
});
xmpp.on("online", async (address) => {
	console.log(`bound ${address}`);
	await xmpp.send(xml("presence"));
	await xmpp.send(
		xml("message", { to: peer, type: "chat" },
			xml("body", {}, "from a library")));
});
xmpp.on("stanza", async (stanza) => {
	const body = stanza.is("message") && stanza.getChildText("body");

	if (!body)
		return;
	console.log(`got ${body}`);
	await xmpp.stop();
	process.exit(0);
});
xmpp.start().catch(() => process.exit(1));
