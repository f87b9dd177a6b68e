// What both connections tell about themselves, as one plain object a moment.

// The connection's own figures and one entry for each RTP stream, told apart by the sender's or receiver's track. What is
// not known, such as a rate before the second sample, is null. A stream's `id` names it until it is made anew; `source`
// stays the same for the same person and kind.
export class Statistics {
  // stream id -> {at, bytes, packets, lost} of the sample before
  #before = new Map();

  // `session` may be null. Resolves to {at, sending, receiving}; each is null or {state, iceState, protocol, local,
  // remote, rtt, cipher, streams}.
  async sample(session) {
    const at = performance.now();
    const owners = new Map();
    for (const peer of session?.peers.values() ?? []) {
      for (const kind of ["audio", "video"]) if (peer[kind]?.track) owners.set(peer[kind].track.id, peer);
    }
    const [sending, receiving] = await Promise.all([
      this.#connection(session?.sending, at, "outbound-rtp", owners),
      this.#connection(session?.receiving, at, "inbound-rtp", owners),
    ]);
    const alive = new Set([...(sending?.streams ?? []), ...(receiving?.streams ?? [])].map(({ id }) => id));
    for (const id of this.#before.keys()) if (!alive.has(id)) this.#before.delete(id);
    return { at, sending, receiving };
  }

  async #connection(connection, at, type, owners) {
    if (!connection || connection.connectionState === "closed") return null;
    const report = await connection.getStats();
    const entries = [...report.values()];
    const transport = entries.find((entry) => entry.type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId)
      ?? entries.find((entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded");
    const local = report.get(pair?.localCandidateId);
    const remote = report.get(pair?.remoteCandidateId);
    const rtt = milliseconds(pair?.currentRoundTripTime);
    const streams = entries
      .filter((entry) => entry.type === type && (type === "outbound-rtp" || owners.has(entry.trackIdentifier)))
      .map((entry) => this.#stream(entry, report, at, type === "inbound-rtp" ? owners.get(entry.trackIdentifier) : null));
    return {
      state: connection.connectionState,
      iceState: connection.iceConnectionState,
      protocol: remote?.protocol ?? local?.protocol ?? null,
      local: addressOf(local),
      remote: addressOf(remote),
      rtt,
      cipher: transport?.srtpCipher ?? null,
      streams,
    };
  }

  #stream(entry, report, at, peer) {
    const inbound = entry.type === "inbound-rtp";
    const far = report.get(entry.remoteId);
    const bytes = (inbound ? entry.bytesReceived : entry.bytesSent) ?? 0;
    const packets = (inbound ? entry.packetsReceived : entry.packetsSent) ?? 0;
    const lost = (inbound ? entry.packetsLost : far?.packetsLost) ?? 0;
    const id = `${peer?.id ?? "self"}-${entry.kind}-${entry.ssrc}`;
    const before = this.#before.get(id);
    this.#before.set(id, { at, bytes, packets, lost });
    const source = inbound ? entry : report.get(entry.mediaSourceId);
    return {
      id,
      source: `${peer?.id ?? "self"}-${entry.kind}-${entry.rid ?? ""}`,
      kind: entry.kind,
      peerId: peer?.id ?? null,
      name: peer?.name ?? null,
      mid: entry.mid ?? null,
      ssrc: entry.ssrc,
      codec: report.get(entry.codecId)?.mimeType ?? null,
      bitrate: before ? Math.max(0, ((bytes - before.bytes) * 8000) / (at - before.at)) : null,
      loss: inbound ? lossSince(before, packets, lost) : (far?.fractionLost ?? null),
      rtt: milliseconds(far?.roundTripTime || null),
      jitter: milliseconds(inbound ? entry.jitter : far?.jitter),
      bytes,
      packets,
      packetsLost: lost,
      framesDecoded: entry.framesDecoded ?? null,
      framesEncoded: entry.framesEncoded ?? null,
      framesPerSecond: entry.framesPerSecond ?? null,
      frameWidth: entry.frameWidth ?? null,
      frameHeight: entry.frameHeight ?? null,
      freezeCount: entry.freezeCount ?? null,
      totalFreezesDuration: entry.totalFreezesDuration ?? null,
      keyFramesDecoded: entry.keyFramesDecoded ?? null,
      audioLevel: source?.audioLevel ?? null,
      totalAudioEnergy: source?.totalAudioEnergy ?? null,
      totalSamplesDuration: source?.totalSamplesDuration ?? null,
      nackCount: entry.nackCount ?? null,
      pliCount: entry.pliCount ?? null,
      firCount: entry.firCount ?? null,
      retransmittedPackets: (inbound ? entry.retransmittedPacketsReceived : entry.retransmittedPacketsSent) ?? null,
    };
  }
}

function lossSince(before, packets, lost) {
  if (!before) return null;
  const newlyLost = Math.max(0, lost - before.lost);
  const expected = newlyLost + Math.max(0, packets - before.packets);
  return expected ? newlyLost / expected : null;
}

// From seconds. What a browser does not tell is null.
function milliseconds(seconds) {
  return typeof seconds === "number" ? seconds * 1000 : null;
}

function addressOf(candidate) {
  if (!candidate) return null;
  const address = candidate.address ?? candidate.ip ?? "";
  return address.includes(":") ? `[${address}]:${candidate.port}` : `${address}:${candidate.port}`;
}
