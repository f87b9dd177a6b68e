//! The machine's addresses: where media may arrive, and what to click.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A worker takes no more listen addresses for one transport.
const MAX_LISTEN_IPS: usize = 8;

/// One address for a transport to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaAddress {
    /// What to bind.
    pub ip: IpAddr,
    /// What browsers are told instead.
    pub announced: Option<IpAddr>,
}

/// Every address of the machine that a browser may reach: loopback last, without IPv6 link-local ones (they mean
/// nothing without an interface's name).
#[must_use]
pub fn local() -> Vec<IpAddr> {
    // Where the interfaces cannot be listed, loopback still serves browsers on this machine.
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .map(|interfaces| interfaces.iter().map(if_addrs::Interface::ip).collect())
        .unwrap_or_else(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    found.retain(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
    });
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    found.dedup();
    found
}

/// Where transports listen: on every local address, or for each announced address on all of its family.
#[must_use]
pub fn media(announce: &[IpAddr], local: &[IpAddr]) -> Vec<MediaAddress> {
    if announce.is_empty() {
        return local.iter().take(MAX_LISTEN_IPS).map(|&ip| MediaAddress { ip, announced: None }).collect();
    }
    announce
        .iter()
        .take(MAX_LISTEN_IPS)
        .map(|&announced| {
            let ip = if announced.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            // An address of this very machine is bound as it is, so that nothing arrives by another.
            if local.contains(&announced) {
                MediaAddress { ip: announced, announced: None }
            } else {
                MediaAddress { ip, announced: Some(announced) }
            }
        })
        .collect()
}

/// The addresses at which the page can be opened, the easiest first.
#[must_use]
pub fn urls(bound: SocketAddr, local: &[IpAddr]) -> Vec<String> {
    let port = bound.port();
    if !bound.ip().is_unspecified() {
        return vec![format!("https://{}/", SocketAddr::new(bound.ip(), port))];
    }
    let reachable = local.iter().filter(|ip| !ip.is_loopback() && (bound.is_ipv6() || ip.is_ipv4()));
    std::iter::once(format!("https://localhost:{port}/"))
        .chain(reachable.map(|&ip| format!("https://{}/", SocketAddr::new(ip, port))))
        .collect()
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
    fn every_local_address_is_a_candidate_up_to_eight() {
        let local: Vec<IpAddr> = (1..=20).map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))).collect();
        let media = media(&[], &local);
        assert_eq!(media.len(), 8);
        assert_eq!(media[0], MediaAddress { ip: ip("192.0.2.1"), announced: None });
    }

    #[test]
    fn an_announced_address_replaces_the_local_ones() {
        let media = media(&[ip("198.51.100.1"), ip("2001:db8::1")], &[ip("192.0.2.1")]);
        assert_eq!(
            media,
            [
                MediaAddress { ip: ip("0.0.0.0"), announced: Some(ip("198.51.100.1")) },
                MediaAddress { ip: ip("::"), announced: Some(ip("2001:db8::1")) },
            ]
        );
    }

    #[test]
    fn an_announced_address_of_the_machine_is_bound_itself() {
        let media = media(&[ip("::1")], &[ip("192.0.2.1"), ip("::1")]);
        assert_eq!(media, [MediaAddress { ip: ip("::1"), announced: None }]);
    }

    #[test]
    fn urls_put_localhost_first_and_brackets_around_ipv6() {
        let bound: SocketAddr = "[::]:4443".parse().expect("an address");
        let urls = urls(bound, &[ip("192.0.2.1"), ip("2001:db8::1"), ip("127.0.0.1")]);
        assert_eq!(urls, ["https://localhost:4443/", "https://192.0.2.1:4443/", "https://[2001:db8::1]:4443/"]);
    }
}
