// SPDX-License-Identifier: MIT
// usage: node strophe.mjs SERVICE DOMAIN USER PASSWORD PEER
// Strophe.js logs in, writes to PEER, and ends when PEER has answered. A
// SERVICE by https: is BOSH, for which it wants what browsers have.
import { pathToFileURL } from "node:url";

const module = `${process.env.ROOKERY_NODE}/node_modules/strophe.js/dist/`;
const { Strophe, $msg, $pres } =
	await import(pathToFileURL(`${module}strophe.node.esm.js`));
const [service, domain, user, password, peer] = process.argv.slice(2);

// As much of it as is used.
globalThis.XMLHttpRequest = class {
	readyState = 0;
	status = 0;
	responseText = "";
	responseXML = null;
	headers = {};
	control = new AbortController();

	open(method, url) {
		this.method = method;
		this.url = url;
		this.change(1);
	}

	setRequestHeader(name, value) {
		this.headers[name] = value;
	}

	getAllResponseHeaders() {
		return "";
	}

	abort() {
		this.control.abort();
	}

	change(state) {
		this.readyState = state;
		this.onreadystatechange?.();
	}

	async send(body) {
		try {
			const answer = await fetch(this.url, {
				method: this.method,
				headers: this.headers,
				body,
				signal: this.control.signal,
			});

			this.responseText = await answer.text();
			this.responseXML = new DOMParser().parseFromString(
				this.responseText, "text/xml");
			this.status = answer.status;
		} catch {
			this.status = 0;
		}
		this.change(4);
	}
};

Strophe.setLogLevel(Strophe.LogLevel.ERROR);

const link = new Strophe.Connection(service);

link.connect(`${user}@${domain}/js`, password, (status, why) => {
	switch (status) {
	case Strophe.Status.CONNECTED:
		console.log(`bound ${link.jid}`);
		link.send($pres());
		link.send($msg({ to: peer, type: "chat" })
			.c("body").t("from a library"));
		link.flush();
		break;
	case Strophe.Status.CONNFAIL:
	case Strophe.Status.AUTHFAIL:
	case Strophe.Status.ERROR:
		console.error(`failed: ${why}`);
		process.exit(1);
		break;
	case Strophe.Status.DISCONNECTED:
		process.exit(0);
	}
});
link.addHandler((message) => {
	const body = message.getElementsByTagName("body")[0];

	if (!body)
		return true;
	console.log(`got ${body.textContent}`);
	link.disconnect();
	return false;
}, null, "message");
