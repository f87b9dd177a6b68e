//! Socket addresses as the kernel lays them out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// An address of either family; 28 bytes instead of `sockaddr_storage`'s 128.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union RawAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawAddress {
    pub(crate) const CAPACITY: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    pub(crate) const fn unspecified() -> Self {
        // SAFETY: both members are plain integers, for which zero is a value; family 0 is AF_UNSPEC.
        unsafe { std::mem::zeroed() }
    }

    /// The address in the form that a socket of the given family takes: an IPv6 socket gets IPv4 addresses v4-mapped (RFC 4291 §2.5.5.2).
    pub(crate) fn new(address: SocketAddr, for_v6_socket: bool) -> Self {
        match address {
            SocketAddr::V4(v4) if for_v6_socket => {
                Self::from_v6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            SocketAddr::V4(v4) => Self {
                v4: libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                },
            },
            SocketAddr::V6(v6) => Self::from_v6(v6),
        }
    }

    fn from_v6(v6: SocketAddrV6) -> Self {
        Self {
            v6: libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            },
        }
    }

    /// The length that the kernel expects beside it.
    pub(crate) fn len(&self) -> libc::socklen_t {
        // SAFETY: both members begin with the family, which is always initialised.
        match i32::from(unsafe { self.v4.sin_family }) {
            libc::AF_INET => size_of::<libc::sockaddr_in>() as libc::socklen_t,
            _ => size_of::<libc::sockaddr_in6>() as libc::socklen_t,
        }
    }

    /// The address, v4-mapped ones as IPv4; `None` for another family.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: both members begin with the family, which is always initialised.
        match i32::from(unsafe { self.v4.sin_family }) {
            libc::AF_INET => {
                // SAFETY: the family says which member it is.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says which member it is.
                let v6 = unsafe { self.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::new(IpAddr::V4(v4), port),
                    None => SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["192.0.2.1:65535", "[2001:db8::1]:1", "[fe80::1%7]:4443"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::new(address, address.is_ipv6()).get(), Some(address));
        }
    }

    #[test]
    fn an_ipv6_socket_gets_mapped_addresses_and_the_caller_plain_ones() {
        let address: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let raw = RawAddress::new(address, true);
        assert_eq!(raw.len() as usize, size_of::<libc::sockaddr_in6>());
        assert_eq!(raw.get(), Some(address));
        assert_eq!(RawAddress::unspecified().get(), None);
    }
}
