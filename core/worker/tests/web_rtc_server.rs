//! A WebRtcServer: several transports on one UDP and one TCP port, told apart by what their peers say and where they are.

mod common;

use std::net::SocketAddr;

use common::Worker;
use common::media::*;
use common::webrtc::*;
use serde_json::{Value, json};
use sfu_proto::dtls::{Certificate, SrtpKeys};
use sfu_proto::srtp::{Backend, Sender};
use sfu_proto::stun::{Class, Message};

/// Server `s` on loopback, and its UDP and TCP address.
fn server() -> (Worker, SocketAddr, SocketAddr) {
    let mut worker = Worker::start();
    let infos = json!([{"protocol": "udp", "ip": "127.0.0.1"}, {"protocol": "tcp", "ip": "127.0.0.1"}]);
    let made =
        worker.ask("worker.createWebRtcServer", "undefined", json!({"webRtcServerId": "s", "listenInfos": infos}));
    assert_eq!(made, Value::Null);
    let dump = worker.ask("webRtcServer.dump", "s", Value::Null);
    let address = |list: &str| {
        let socket = &dump[list][0];
        format!("{}:{}", text(socket, "ip"), socket["port"]).parse().unwrap()
    };
    let (udp, tcp) = (address("udpSockets"), address("tcpServers"));
    (worker, udp, tcp)
}

/// A router and a transport on the server, both named by `id`; returns its dump.
fn transport_on(worker: &mut Worker, id: &str, options: Value) -> Value {
    let router = format!("router of {id}");
    worker.ask("worker.createRouter", "undefined", json!({"routerId": router}));
    let mut data = json!({
        "transportId": id, "webRtcServerId": "s", "enableUdp": true, "enableTcp": true,
        "preferUdp": true, "preferTcp": false,
    });
    merge(&mut data, options);
    worker.ask("router.createWebRtcTransportWithServer", &router, data)
}

/// The transports that the server's tuples are of, sorted.
fn tuples(worker: &mut Worker) -> Vec<String> {
    let dump = worker.ask("webRtcServer.dump", "s", Value::Null);
    let mut ids: Vec<String> = entries(&dump, "tupleHashes").iter().map(|id| id.to_string()).collect();
    ids.sort();
    ids
}

fn entries<'a>(dump: &'a Value, list: &str) -> Vec<&'a str> {
    dump[list].as_array().unwrap().iter().map(|entry| text(entry, "webRtcTransportId")).collect()
}

/// ICE and DTLS of a peer of the transport.
fn connect(worker: &mut Worker, id: &str, dump: &Value, link: &mut impl Link) -> SrtpKeys {
    let certificate = Certificate::generate().unwrap();
    worker.ask("transport.connect", id, connect_parameters(&certificate));
    nominate(link, &dump["iceParameters"]);
    shake_hands(link, &certificate, &dump["dtlsParameters"]["fingerprints"])
}

fn send_media(link: &mut impl Link, keys: &SrtpKeys, packets: u16) {
    let mut protect = Sender::new(Backend::Evp, keys.suite, &keys.local).unwrap();
    for number in 0..packets {
        let mut packet = rtp(SENT_PT, number, 0, SENT_SSRC, &[]);
        packet.resize(1000, 0);
        let length = protect.protect_rtp(&mut packet, 12, &vp8(number == 0, number as u8)).unwrap();
        link.send(&packet[..length]);
    }
}

fn wait_for_packets(worker: &mut Worker, producer: &str, packets: u64) {
    loop {
        let stats = worker.ask("producer.getStats", producer, Value::Null);
        let count = stats[0]["packetCount"].as_u64().unwrap_or(0);
        assert!(count <= packets, "{producer} got another transport's packets: {stats}");
        if count == packets {
            return;
        }
    }
}

#[test]
fn each_peer_on_the_shared_ports_reaches_its_own_transport() {
    let (mut worker, udp, tcp) = server();
    let peers = [Peer::new(), Peer::new()];
    let dumps = ["a", "b", "c"].map(|id| transport_on(&mut worker, id, json!({})));
    for id in ["a", "b", "c"] {
        // The same SSRC and MID on all.
        worker.ask("transport.produce", id, produce(&format!("producer of {id}")));
    }
    let [mut first, mut second] = [0, 1].map(|index| Udp { peer: &peers[index], to: udp });
    let mut third = Tcp::connect(tcp);
    let keys = [
        connect(&mut worker, "a", &dumps[0], &mut first),
        connect(&mut worker, "b", &dumps[1], &mut second),
        connect(&mut worker, "c", &dumps[2], &mut third),
    ];
    send_media(&mut first, &keys[0], 3);
    send_media(&mut second, &keys[1], 5);
    send_media(&mut third, &keys[2], 7);
    for (id, packets) in [("a", 3), ("b", 5), ("c", 7)] {
        wait_for_packets(&mut worker, &format!("producer of {id}"), packets);
    }

    let dump = worker.ask("webRtcServer.dump", "s", Value::Null);
    assert_eq!(dump["webRtcTransportIds"], json!(["a", "b", "c"]));
    let mut named = entries(&dump, "localIceUsernameFragments");
    named.sort_unstable();
    assert_eq!(named, ["a", "b", "c"]);
    assert_eq!(tuples(&mut worker), ["a", "b", "c"]);
    let hashes: std::collections::HashSet<u64> =
        dump["tupleHashes"].as_array().unwrap().iter().map(|entry| entry["tupleHash"].as_u64().unwrap()).collect();
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|hash| *hash < 1 << 53), "JavaScript can tell them apart: {hashes:?}");
    let tuple = &worker.ask("transport.dump", "c", Value::Null)["iceSelectedTuple"];
    assert_eq!((&tuple["localPort"], &tuple["remotePort"]), (&json!(tcp.port()), &json!(third.local().port())));

    // A connection that ends takes its tuple along.
    drop(third);
    while worker.notification("icestatechange")["data"]["iceState"] != "disconnected" {}
    assert_eq!(tuples(&mut worker), ["a", "b"]);
    worker.ask("router.closeTransport", "router of a", json!({"transportId": "a"}));
    let dump = worker.ask("webRtcServer.dump", "s", Value::Null);
    assert_eq!(dump["webRtcTransportIds"], json!(["b", "c"]));
    assert_eq!(tuples(&mut worker), ["b"]);
    // The other one's media goes on: closing left the socket alone.
    let more = Peer::new();
    nominate(&mut Udp { peer: &more, to: udp }, &dumps[1]["iceParameters"]);
}

#[test]
fn candidates_are_the_listeners_that_may_be_used() {
    let (mut worker, udp, tcp) = server();
    let candidates = |dump: &Value| -> Vec<(String, Value, u64)> {
        let list = dump["iceCandidates"].as_array().unwrap();
        let one = |it: &Value| (text(it, "protocol").to_owned(), it["port"].clone(), it["priority"].as_u64().unwrap());
        list.iter().map(one).collect()
    };
    // 2^24 * 64 + 2^8 * local preference + 255; the second listener's preference is 100 less.
    let priority = |preference: u64| (64 << 24) + (preference << 8) + 255;
    let both = transport_on(&mut worker, "both", json!({}));
    let expected = [
        ("udp".to_owned(), json!(udp.port()), priority(11_000)),
        ("tcp".to_owned(), json!(tcp.port()), priority(9900)),
    ];
    assert_eq!(candidates(&both), expected);
    let only_tcp = transport_on(&mut worker, "tcp", json!({"enableUdp": false, "preferTcp": true}));
    assert_eq!(candidates(&only_tcp), [("tcp".to_owned(), json!(tcp.port()), priority(10_900))]);

    let before = worker.dump();
    for (data, class, named) in [
        (json!({"webRtcServerId": "s", "enableUdp": false, "enableTcp": false}), "TypeError", "enableUdp"),
        (json!({"webRtcServerId": "nobody"}), "Error", "nobody"),
        (json!({"webRtcServerId": 7}), "TypeError", "webRtcServerId"),
        (json!({}), "TypeError", "webRtcServerId"),
    ] {
        let mut request = json!({"transportId": "n"});
        merge(&mut request, data);
        let refused = worker.refused("router.createWebRtcTransportWithServer", "router of both", request.clone());
        assert_eq!(refused.class, class, "{request}: {}", refused.reason);
        assert!(refused.reason.contains(named), "{request}: {}", refused.reason);
        assert_eq!(worker.dump(), before);
    }
}

#[test]
fn after_a_restart_the_old_fragment_is_good_until_the_new_one_is_used() {
    let (mut worker, udp, _) = server();
    let dump = transport_on(&mut worker, "t", json!({}));
    let peer = Peer::new();
    let mut link = Udp { peer: &peer, to: udp };
    nominate(&mut link, &dump["iceParameters"]);
    let restarted = worker.ask("transport.restartIce", "t", Value::Null)["iceParameters"].clone();
    let fragments = |worker: &mut Worker| {
        let dump = worker.ask("webRtcServer.dump", "s", Value::Null);
        let list = dump["localIceUsernameFragments"].as_array().unwrap();
        list.iter().map(|entry| text(entry, "localIceUsernameFragment").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fragments(&mut worker).len(), 2);
    nominate(&mut link, &dump["iceParameters"]);
    let elsewhere = Peer::new();
    nominate(&mut Udp { peer: &elsewhere, to: udp }, &restarted);
    assert_eq!(fragments(&mut worker), [text(&restarted, "usernameFragment")]);
}

#[test]
fn a_peer_that_goes_on_as_anothers_takes_its_address_along() {
    let (mut worker, udp, _) = server();
    let dumps = ["a", "b"].map(|id| transport_on(&mut worker, id, json!({})));
    let peer = Peer::new();
    let mut link = Udp { peer: &peer, to: udp };
    nominate(&mut link, &dumps[0]["iceParameters"]);
    assert_eq!(tuples(&mut worker), ["a"]);
    nominate(&mut link, &dumps[1]["iceParameters"]);
    assert_eq!(tuples(&mut worker), ["b"]);
    let states = ["a", "b"].map(|id| worker.ask("transport.dump", id, Value::Null)["iceState"].clone());
    assert_eq!(states, [json!("disconnected"), json!("completed")]);
}

#[test]
fn a_transport_that_closes_leaves_its_addresses_to_nobody() {
    let (mut worker, udp, tcp) = server();
    let dump = transport_on(&mut worker, "a", json!({}));
    let peer = Peer::new();
    let mut link = Udp { peer: &peer, to: udp };
    nominate(&mut link, &dump["iceParameters"]);
    let mut connection = Tcp::connect(tcp);
    nominate(&mut connection, &dump["iceParameters"]);
    assert_eq!(tuples(&mut worker), ["a", "a"]);
    worker.ask("router.closeTransport", "router of a", json!({"transportId": "a"}));
    // Whoever comes next takes its place in the worker, but is known by nothing of it.
    let next = transport_on(&mut worker, "b", json!({}));
    assert_eq!(tuples(&mut worker), [""; 0]);
    let before = worker.ask("transport.getStats", "b", Value::Null)[0]["bytesReceived"].clone();
    for datagram in
        [vec![22, 254, 253, 0, 0], check(&dump["iceParameters"], text(&dump["iceParameters"], "password"), true)]
    {
        link.send(&datagram);
    }
    // A good one by another path shows that those before it have been handled.
    let mut connection = Tcp::connect(tcp);
    nominate(&mut connection, &next["iceParameters"]);
    let stat = &worker.ask("transport.getStats", "b", Value::Null)[0];
    assert_eq!((stat["iceSelectedTuple"]["protocol"].clone(), before), (json!("tcp"), json!(0)), "{stat}");
    assert_eq!(tuples(&mut worker), ["b"]);
    nominate(&mut link, &next["iceParameters"]);
    assert_eq!(tuples(&mut worker), ["b", "b"]);
}

#[test]
fn strangers_make_no_state() {
    let (mut worker, udp, tcp) = server();
    let dump = transport_on(&mut worker, "t", json!({}));
    let ice = &dump["iceParameters"];
    let before = worker.ask("webRtcServer.dump", "s", Value::Null);
    let stranger = Peer::new();
    let mut connection = Tcp::connect(tcp);
    for datagram in [
        check(ice, "not-the-password-of-this-transport", true),
        check(&json!({"usernameFragment": "somebodyelse"}), text(ice, "password"), true),
        rtp(SENT_PT, 1, 0, SENT_SSRC, &vp8(true, 1)),
        vec![22, 254, 253, 0, 0],
        vec![0; 20],
    ] {
        stranger.send(udp, &datagram);
        connection.send(&datagram);
    }
    // A good one shows that the bad ones before it have been handled.
    let peer = Peer::new();
    nominate(&mut Udp { peer: &peer, to: udp }, ice);
    assert_eq!(tuples(&mut worker), ["t"], "the peer's only");
    let after = worker.ask("webRtcServer.dump", "s", Value::Null);
    for same in ["webRtcTransportIds", "localIceUsernameFragments"] {
        assert_eq!(after[same], before[same]);
    }
    // A check by the connection that said nonsense before is as good as by any other.
    assert_eq!(Message::parse(&connection.receive()).unwrap().class(), Class::ErrorResponse, "to the wrong password");
    nominate(&mut connection, ice);
    assert_eq!(tuples(&mut worker), ["t", "t"]);
}

#[test]
fn closing_it_closes_its_transports_and_frees_its_ports() {
    let (mut worker, udp, tcp) = server();
    let dump = transport_on(&mut worker, "t", json!({}));
    let mut link = Tcp::connect(tcp);
    let mut idle = Tcp::connect(tcp);
    nominate(&mut link, &dump["iceParameters"]);
    worker.ask("transport.produce", "t", produce("p"));
    create_plain(&mut worker, "router of t", "out", json!({}));
    worker.ask("transport.consume", "out", consume("c", "p"));

    worker.ask("worker.closeWebRtcServer", "undefined", json!({"webRtcServerId": "s"}));
    assert_eq!(worker.notification("producerclose")["targetId"], json!("c"));
    let after = worker.dump();
    assert_eq!(after["webRtcServerIds"], json!([]));
    let handlers = &after["channelMessageHandlers"]["channelRequestHandlers"];
    assert_eq!(*handlers, json!(["router of t", "out"]));
    assert_eq!(worker.refused("webRtcServer.dump", "s", Value::Null).class, "Error");
    assert_eq!(worker.refused("worker.closeWebRtcServer", "undefined", json!({"webRtcServerId": "s"})).class, "Error");
    link.wait_for_end();
    idle.wait_for_end();
    let on = |protocol: &str, port: u16| json!({"protocol": protocol, "ip": "127.0.0.1", "port": port});
    let same = json!({"webRtcServerId": "s", "listenInfos": [on("udp", udp.port()), on("tcp", tcp.port())]});
    worker.ask("worker.createWebRtcServer", "undefined", same);
}

#[test]
fn it_opens_all_of_its_ports_or_none() {
    let (mut worker, udp, _) = server();
    let before = worker.dump();
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let on = |port: u16| json!({"protocol": "udp", "ip": "127.0.0.1", "port": port});
    let taken = json!({"webRtcServerId": "n", "listenInfos": [on(free), on(udp.port())]});
    let refused = worker.refused("worker.createWebRtcServer", "undefined", taken);
    assert_eq!(refused.class, "Error");
    assert!(refused.reason.contains(&udp.port().to_string()), "{}", refused.reason);
    assert_eq!(worker.dump(), before);
    std::net::UdpSocket::bind(("127.0.0.1", free)).expect("the first port is free again");
}
