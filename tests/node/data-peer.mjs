// Peers with data channels: a class that runs wherever there is an RTCPeerConnection, and how it is joined to a
// WebRtcTransport.

import * as playwright from 'playwright-core';
import { ARGUMENTS, executablePath } from '../browser/lib/chromium.mjs';

// A peer connection with negotiated channels only, as mediasoup-client has them. It stands by itself, so that it can be
// put into a page; what it takes and returns is JSON.
export class DataPeer {
  constructor(RTCPeerConnection) {
    this.connection = new RTCPeerConnection();
    this.channels = new Map();
  }

  // A channel on that stream. Messages are kept: text as it is, of binary ones the length and the sum of all bytes.
  open(id, options = {}) {
    const channel = this.connection.createDataChannel('channel', { negotiated: true, id, ...options });
    const messages = [];
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      if (typeof data === 'string') return messages.push(data);
      const bytes = new Uint8Array(data);
      messages.push({ length: bytes.length, sum: bytes.reduce((sum, byte) => sum + byte, 0) });
    };
    this.channels.set(id, { channel, messages });
  }

  async offer() {
    await this.connection.setLocalDescription(await this.connection.createOffer());
    return this.connection.localDescription.sdp;
  }

  async answer(sdp) {
    await this.connection.setRemoteDescription({ type: 'answer', sdp });
  }

  sendTexts(id, texts) {
    for (const text of texts) this.channels.get(id).channel.send(text);
  }

  sendBytes(id, length, value) {
    this.channels.get(id).channel.send(new Uint8Array(length).fill(value));
  }

  state(id) {
    return this.channels.get(id).channel.readyState;
  }

  messages(id) {
    return this.channels.get(id).messages;
  }

  closeChannel(id) {
    this.channels.get(id).channel.close();
  }

  async close() {
    await this.connection.close();
  }
}

const METHODS = ['open', 'offer', 'answer', 'sendTexts', 'sendBytes', 'state', 'messages', 'closeChannel', 'close'];

// Makes peers in this process, of the npm package werift.
export async function werift() {
  const { RTCPeerConnection } = await import('werift');
  return { create: async () => new DataPeer(RTCPeerConnection), close: async () => {} };
}

// Makes peers in a page of the installed Chromium.
export async function chromium() {
  const browser = await playwright.chromium.launch({ executablePath: executablePath(), args: ARGUMENTS });
  const page = await browser.newPage();
  await page.addScriptTag({ content: `window.DataPeer = ${DataPeer}; window.peers = [];` });
  const create = async () => {
    const index = await page.evaluate(() => window.peers.push(new window.DataPeer(RTCPeerConnection)) - 1);
    const call = method => (...args) => page.evaluate(
      ([index, method, args]) => window.peers[index][method](...args),
      [index, method, args]
    );
    return Object.fromEntries(METHODS.map(method => [method, call(method)]));
  };
  return { create, close: () => browser.close() };
}

// Joins a peer, which has a channel at least, to a transport.
export async function join(peer, transport) {
  const offer = await peer.offer();
  const value = /^a=fingerprint:sha-256 (\S+)/m.exec(offer)[1];
  const mid = /^a=mid:(\S+)/m.exec(offer)[1];
  await transport.connect({ dtlsParameters: { role: 'client', fingerprints: [{ algorithm: 'sha-256', value }] } });
  await peer.answer(answer(transport, mid));
}

// The transport as the answer to an offer of data channels.
function answer({ iceParameters, iceCandidates, dtlsParameters, sctpParameters }, mid) {
  const fingerprint = dtlsParameters.fingerprints.find(({ algorithm }) => algorithm === 'sha-256');
  return [
    'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite', `a=group:BUNDLE ${mid}`,
    'm=application 7 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 127.0.0.1', `a=mid:${mid}`,
    `a=ice-ufrag:${iceParameters.usernameFragment}`, `a=ice-pwd:${iceParameters.password}`,
    `a=fingerprint:sha-256 ${fingerprint.value}`, 'a=setup:passive',
    ...iceCandidates.map(({ foundation, protocol, priority, ip, port }) =>
      `a=candidate:${foundation} 1 ${protocol} ${priority} ${ip} ${port} typ host`),
    'a=end-of-candidates', `a=sctp-port:${sctpParameters.port}`, `a=max-message-size:${sctpParameters.maxMessageSize}`
  ].map(line => `${line}\r\n`).join('');
}
