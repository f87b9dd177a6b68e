//! The machine's addresses: where media may arrive, and what to click.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// A worker takes no more listen addresses for one transport.
const MAX_LISTEN_IPS: usize = 8;
/// Addresses of documentation (RFC 5737, RFC 3849): the way to them is the way to anywhere.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// One address for a transport to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaAddress {
    /// What to bind.
    pub ip: IpAddr,
    /// What browsers are told instead.
    pub announced: Option<IpAddr>,
}

/// Every address of the machine that a browser may reach, the likeliest first: those of the interface of the default
/// route, then the others, such as bridges, then loopback. IPv6 link-local ones are left out, as they mean nothing
/// without an interface's name.
#[must_use]
pub fn local() -> Vec<IpAddr> {
    let interfaces: Vec<(String, IpAddr)> = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.into_iter().map(|interface| (interface.name.clone(), interface.ip())).collect(),
        // Where the interfaces cannot be listed, loopback still serves browsers on this machine.
        Err(_) => vec![(String::new(), Ipv4Addr::LOCALHOST.into())],
    };
    let sources: Vec<IpAddr> = ANYWHERE.into_iter().filter_map(source).collect();
    in_order(&interfaces, &sources)
}

/// The address that this machine would send from. Nothing is sent to find out.
fn source(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Port 9, "discard".
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The usable addresses of `interfaces`, first those of the interfaces that have one of `sources`.
fn in_order(interfaces: &[(String, IpAddr)], sources: &[IpAddr]) -> Vec<IpAddr> {
    let main: Vec<&String> = interfaces.iter().filter(|(_, ip)| sources.contains(ip)).map(|(name, _)| name).collect();
    let mut usable: Vec<&(String, IpAddr)> = interfaces
        .iter()
        .filter(|(_, ip)| match ip {
            IpAddr::V4(ip) => !ip.is_unspecified(),
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
        })
        .collect();
    usable.sort_by_key(|(name, ip)| (ip.is_loopback(), !main.contains(&name), ip.is_ipv6()));
    let mut found: Vec<IpAddr> = usable.into_iter().map(|(_, ip)| *ip).collect();
    found.dedup();
    found
}

/// Where transports listen: on every local address, or for each announced address on all of its family. The second
/// list has the addresses, announced or local, that a transport has no room for.
#[must_use]
pub fn media(announce: &[IpAddr], local: &[IpAddr]) -> (Vec<MediaAddress>, Vec<IpAddr>) {
    let wanted = if announce.is_empty() { local } else { announce };
    let (taken, left) = wanted.split_at(wanted.len().min(MAX_LISTEN_IPS));
    let taken = taken.iter().map(|&ip| {
        // An address of this very machine is bound as it is, so that nothing arrives by another.
        if local.contains(&ip) {
            return MediaAddress { ip, announced: None };
        }
        let any = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        MediaAddress { ip: any, announced: Some(ip) }
    });
    (taken.collect(), left.to_vec())
}

/// The addresses at which the page can be opened on this machine, the easiest first.
#[must_use]
pub fn urls(bound: SocketAddr, local: &[IpAddr]) -> Vec<String> {
    let here = match bound.ip() {
        ip if ip.is_unspecified() => Some(format!("https://localhost:{}/", bound.port())),
        ip if ip.is_loopback() => Some(url(ip, bound.port())),
        _ => None,
    };
    here.into_iter().chain(reachable_urls(bound, local)).collect()
}

/// The addresses at which the page can be opened on other machines, the likeliest first.
#[must_use]
pub fn reachable_urls(bound: SocketAddr, local: &[IpAddr]) -> Vec<String> {
    let only = [bound.ip()];
    let candidates: &[IpAddr] = if bound.ip().is_unspecified() { local } else { &only };
    candidates
        .iter()
        .filter(|ip| !ip.is_loopback() && (bound.is_ipv6() || ip.is_ipv4()))
        .map(|&ip| url(ip, bound.port()))
        .collect()
}

fn url(ip: IpAddr, port: u16) -> String {
    format!("https://{}/", SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn local_addresses_are_usable_from_a_browser() {
        let local = local();
        assert!(local.contains(&ip("127.0.0.1")), "{local:?}");
        assert!(!local.iter().any(|ip| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())), "{local:?}");
    }

    #[test]
    fn the_interface_of_the_default_route_comes_first_and_loopback_last() {
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("docker0", "172.17.0.1"),
            ("docker0", "fd01::1"),
            ("wlan0", "2001:db8::5"),
            ("wlan0", "fe80::5"),
            ("wlan0", "192.168.1.5"),
        ]
        .map(|(name, address)| (name.to_owned(), ip(address)));
        let expected = ["192.168.1.5", "2001:db8::5", "172.17.0.1", "fd01::1", "127.0.0.1"].map(ip);
        assert_eq!(in_order(&interfaces, &[ip("192.168.1.5")]), expected);
    }

    #[test]
    fn every_local_address_is_a_candidate_up_to_eight() {
        let local: Vec<IpAddr> = (1..=20).map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))).collect();
        let (media, left) = media(&[], &local);
        assert_eq!(media.len(), 8);
        assert_eq!(media[0], MediaAddress { ip: ip("192.0.2.1"), announced: None });
        assert_eq!(left, local[8..]);
    }

    #[test]
    fn an_announced_address_replaces_the_local_ones() {
        let (media, left) = media(&[ip("198.51.100.1"), ip("2001:db8::1")], &[ip("192.0.2.1")]);
        assert_eq!(
            media,
            [
                MediaAddress { ip: ip("0.0.0.0"), announced: Some(ip("198.51.100.1")) },
                MediaAddress { ip: ip("::"), announced: Some(ip("2001:db8::1")) },
            ]
        );
        assert!(left.is_empty());
    }

    #[test]
    fn an_announced_address_of_the_machine_is_bound_itself() {
        let (media, _) = media(&[ip("::1")], &[ip("192.0.2.1"), ip("::1")]);
        assert_eq!(media, [MediaAddress { ip: ip("::1"), announced: None }]);
    }

    #[test]
    fn urls_put_localhost_first_and_brackets_around_ipv6() {
        let bound: SocketAddr = "[::]:4443".parse().expect("an address");
        let urls = urls(bound, &[ip("192.0.2.1"), ip("2001:db8::1"), ip("127.0.0.1")]);
        assert_eq!(urls, ["https://localhost:4443/", "https://192.0.2.1:4443/", "https://[2001:db8::1]:4443/"]);
    }

    #[test]
    fn others_are_not_sent_to_loopback() {
        let local = ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"].map(ip);
        for (bound, expected) in [
            ("[::]:4443", &["https://192.0.2.1:4443/", "https://[2001:db8::1]:4443/"][..]),
            ("0.0.0.0:4443", &["https://192.0.2.1:4443/"]),
            ("192.0.2.7:4443", &["https://192.0.2.7:4443/"]),
            ("127.0.0.1:4443", &[]),
        ] {
            assert_eq!(reachable_urls(bound.parse().expect("an address"), &local), expected, "{bound}");
        }
        assert_eq!(urls("127.0.0.1:4443".parse().expect("an address"), &local), ["https://127.0.0.1:4443/"]);
    }
}
