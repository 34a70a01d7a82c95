//! Addresses that may connect: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.

use std::{fmt, net::IpAddr, str::FromStr};

use thiserror::Error;

/// The addresses that begin with the same bits. An IPv4 address is the same in its IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that names no addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` names no addresses; write one (10.0.0.7) or all that begin alike (10.0.0.0/24)")]
pub struct NetworkError {
    given: String,
}

impl Network {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                self.is_same(ours.to_bits().into(), theirs.to_bits().into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                self.is_same(ours.to_bits(), theirs.to_bits(), 128)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn is_same(&self, ours: u128, theirs: u128, width: u8) -> bool {
        let differ = ours ^ theirs;
        // A shift by the whole width is not defined; no bit has to be the same then.
        let rest = u32::from(width - self.bits.min(width));
        differ.checked_shr(rest).is_none_or(|high| high == 0)
    }
}

impl From<IpAddr> for Network {
    /// One address alone.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError {
            given: text.to_owned(),
        };
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = Self::from(address);
        let Some(bits) = bits else {
            return Ok(whole);
        };
        let is_number = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        // A mask over the IPv6 form of an IPv4 address would count other bits than it shows.
        if !is_number || bits > whole.bits || address.to_canonical() != address {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, bits } = self;
        if *self == Self::from(*address) {
            write!(f, "{address}")
        } else {
            write!(f, "{address}/{bits}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_with_its_bits() {
        let check = |network: &str, inside: &[&str], outside: &[&str]| {
            let read: Network = network.parse().unwrap();
            assert_eq!(read.to_string(), network);
            for address in inside {
                assert!(
                    read.contains(address.parse().unwrap()),
                    "{network} {address}"
                );
            }
            for address in outside {
                assert!(
                    !read.contains(address.parse().unwrap()),
                    "{network} {address}"
                );
            }
        };
        check(
            "10.0.0.7",
            &["10.0.0.7", "::ffff:10.0.0.7"],
            &["10.0.0.6", "::a00:7"],
        );
        check(
            "10.0.0.0/8",
            &["10.255.0.1", "::ffff:10.1.1.1"],
            &["11.0.0.0", "9.255.255.255"],
        );
        check(
            "192.168.4.0/23",
            &["192.168.5.255"],
            &["192.168.6.0", "192.168.3.255"],
        );
        check("0.0.0.0/0", &["1.2.3.4", "255.255.255.255"], &["fe80::1"]);
        check("fd00::/8", &["fdff::1"], &["fe00::1", "10.0.0.1"]);
        check("::/0", &["fe80::1"], &["10.0.0.1"]);
    }

    #[test]
    fn what_names_no_addresses_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8 ",
            "lab",
            "fd00::/129",
            "::ffff:10.0.0.0/8",
            "/8",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains("10.0.0.0/24"), "{text}");
        }
    }
}
