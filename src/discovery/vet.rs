//! Which addresses of the network discovery may connect to. Pure.
//!
//! The name comes from whoever chose a recipient, and the address from whoever owns the name: a
//! mail server that connects where it is told is a door into its own network. So only addresses
//! that are routed to the whole world are allowed, and of these not our own; the administrator may
//! except networks by name.
//!
//! # Standards
//! RFC 6890 and the IANA registries of special-purpose addresses for IPv4 and IPv6; RFC 4291,
//! RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 9637 (documentation).
//!
//! # Known gaps
//! Public addresses that a cloud gives a meaning of its own are known for one cloud only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is no network, or bits behind its prefix are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkError;

impl Network {
    /// Reads `address/bits`, or an address alone for that one.
    pub fn parse(text: &str) -> Result<Network, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(bits.parse().map_err(|_| NetworkError)?))
            }
            Some(_) => return Err(NetworkError),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        let network = Network { address, bits };
        let is_first = bits <= most && network.prefix(address) == number(address);
        is_first.then_some(network).ok_or(NetworkError)
    }

    /// Whether `address` lies in it. An IPv4 address in IPv6's clothes is another address.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && self.prefix(address) == self.prefix(self.address)
    }

    fn prefix(&self, address: IpAddr) -> u128 {
        let unused = if address.is_ipv4() { 32 } else { 128 } - u32::from(self.bits);
        number(address).checked_shr(unused).unwrap_or(0).checked_shl(unused).unwrap_or(0)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network, such as 10.0.0.0/8 or fd00::/8")
    }
}

impl std::error::Error for NetworkError {}

/// The judge of addresses.
#[derive(Clone, Debug, Default)]
pub struct Vet {
    /// Networks that are allowed although they are private.
    pub excepted: Vec<Network>,
    /// The server's own addresses.
    pub own: Vec<IpAddr>,
}

impl Vet {
    /// Whether discovery may connect to `address`; the error says in a word why not.
    pub fn judge(&self, address: IpAddr) -> Result<(), &'static str> {
        if self.excepted.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        if self.own.contains(&address) {
            return Err("this server's own");
        }
        match address {
            IpAddr::V4(address) => judge_v4(address),
            IpAddr::V6(address) => judge_v6(address),
        }
    }
}

/// What a cloud's machines call their host by; it answers with their secrets.
const METADATA: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn judge_v4(address: Ipv4Addr) -> Result<(), &'static str> {
    let word = match address.octets() {
        [0, ..] => "unspecified",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "carrier-grade NAT",
        [127, ..] => "loopback",
        [169, 254, ..] => "link-local",
        [192, 0, 0, _] => "special",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "documentation",
        [192, 88, 99, _] => "6to4",
        [198, 18..=19, ..] => "benchmarking",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved",
        _ if address == METADATA => "metadata",
        _ => return Ok(()),
    };
    Err(word)
}

/// Only 2000::/3 is routed to the world, and not all of it.
fn judge_v6(address: Ipv6Addr) -> Result<(), &'static str> {
    let word = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0, 0, 0, 0, 0, 0xffff, _, _] => "IPv4-mapped",
        [0, 0, 0, 0, ..] => "IPv4-compatible",
        [0x64, 0xff9b, ..] => "NAT64",
        [0xfc00..=0xfdff, ..] => "private",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] => "site-local",
        [0xff00..=0xffff, ..] => "multicast",
        [0x2001, 0, ..] => "Teredo",
        [0x2001, 1..=0x1ff, ..] => "special",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "documentation",
        [0x2002, ..] => "6to4",
        [0x2000..=0x3fff, ..] => return Ok(()),
        _ => "reserved",
    };
    Err(word)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// What must never be connected to; others take it for their tables, too.
    pub(in crate::discovery) const REFUSED: &[(&str, &str)] = &[
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.0", "private"),
        ("10.0.0.1", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.1.2.3", "loopback"),
        ("127.255.255.255", "loopback"),
        ("168.63.129.16", "metadata"),
        ("169.254.0.1", "link-local"),
        ("169.254.169.254", "link-local"),
        ("169.254.255.255", "link-local"),
        ("172.16.0.0", "private"),
        ("172.20.1.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.1", "special"),
        ("192.0.0.170", "special"),
        ("192.0.0.192", "special"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.0.1", "private"),
        ("192.168.255.255", "private"),
        ("198.18.0.0", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "IPv4-compatible"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:10.0.0.1", "IPv4-mapped"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("::ffff:0:8.8.8.8", "IPv4-compatible"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b::808:808", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("100::1", "reserved"),
        ("1000::1", "reserved"),
        ("2001::1", "Teredo"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        ("2001:1::1", "special"),
        ("2001:2::1", "special"),
        ("2001:10::1", "special"),
        ("2001:20::1", "special"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::1", "6to4"),
        ("2002:808:808::1", "6to4"),
        ("3fff::1", "documentation"),
        ("3fff:fff::1", "documentation"),
        ("4000::1", "reserved"),
        ("5f00::1", "reserved"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
    ];

    const ALLOWED: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.101.0",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
        "3fff:1000::1",
    ];

    #[test]
    fn only_what_is_routed_to_the_world_is_allowed() {
        assert!(REFUSED.len() >= 60);
        let vet = Vet::default();
        for (address, word) in REFUSED {
            assert_eq!(vet.judge(ip(address)), Err(*word), "{address}");
        }
        for address in ALLOWED {
            assert_eq!(vet.judge(ip(address)), Ok(()), "{address}");
        }
    }

    #[test]
    fn exceptions_are_exact_and_come_before_the_own_addresses() {
        let excepted = ["10.1.0.0/16", "127.0.0.1", "fd00::/8"];
        let excepted = excepted.map(|text| Network::parse(text).unwrap()).to_vec();
        let vet = Vet { excepted, own: vec![ip("8.8.8.8"), ip("127.0.0.1")] };
        for allowed in ["10.1.2.3", "127.0.0.1", "fd12::1", "8.8.4.4"] {
            assert_eq!(vet.judge(ip(allowed)), Ok(()), "{allowed}");
        }
        for refused in ["10.2.0.1", "127.0.0.2", "fc00::1", "::ffff:10.1.2.3", "8.8.8.8"] {
            assert!(vet.judge(ip(refused)).is_err(), "{refused}");
        }
    }

    #[test]
    fn networks_are_read_exactly() {
        for good in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "fe80::/10", "::1/128"] {
            assert_eq!(Network::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Network::parse("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        for bad in [
            "",
            "/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/129",
            "fe80::1/10",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "example.org/8",
            "10.0.0.0/256",
        ] {
            assert_eq!(Network::parse(bad), Err(NetworkError), "{bad}");
        }
        assert!(Network::parse("0.0.0.0/0").unwrap().contains(ip("255.1.2.3")));
        assert!(Network::parse("::/0").unwrap().contains(ip("ff::1")));
    }

    proptest! {
        #[test]
        fn reading_a_network_never_panics(text in "[0-9a-f.:/+-]{0,24}") {
            if let Ok(network) = Network::parse(&text) {
                prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
            }
        }
    }
}
