//! What `check` needs to know of a port string: whether it is one, and what it takes for itself.

/// The kind of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// Labwire waits for the peer.
    Listen,
    /// Labwire calls the peer.
    Connect,
    /// A serial port.
    Serial,
}

/// A port string, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listen, connect or serial.
    pub kind: EndpointKind,
    /// Whether MLLP frames run over it.
    pub is_mllp: bool,
    /// Whether it is over TLS.
    pub is_tls: bool,
    /// `host:port`, or the path of the serial device.
    pub address: String,
}

/// Reads a port string; the error says what to write instead.
pub type ReadEndpoint = fn(&str) -> Result<Endpoint, String>;

const SCHEMES: &str = "tcp-listen://127.0.0.1:5001, tcp://host:port, mllp-listen://…, mllp://… or \
                       serial:///dev/ttyUSB0?baud=9600&bits=8&parity=none&stop=1; over TLS tls-listen://…, \
                       tls://…, mllps-listen://… or mllps://…";

/// Reads the port strings of `lab.toml`: scheme, host and port, or the path of a device.
///
/// # Errors
/// A sentence for the person who wrote the string.
pub fn read(text: &str) -> Result<Endpoint, String> {
    use EndpointKind::{Connect, Listen, Serial};
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("write {SCHEMES}"))?;
    let (kind, is_mllp) = match scheme {
        "tcp-listen" | "tls-listen" => (Listen, false),
        "tcp" | "tls" => (Connect, false),
        "mllp-listen" | "mllps-listen" => (Listen, true),
        "mllp" | "mllps" => (Connect, true),
        "serial" => (Serial, false),
        _ => return Err(format!("`{scheme}` is no kind of port: write {SCHEMES}")),
    };
    let address = rest.split('?').next().unwrap_or_default().to_owned();
    if kind == Serial {
        return match address.len() {
            0 => Err("name the device: serial:///dev/ttyUSB0?baud=9600".to_owned()),
            _ => Ok(Endpoint {
                kind,
                is_mllp,
                is_tls: false,
                address,
            }),
        };
    }
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| format!("the port is missing: write {scheme}://{address}:5001"))?;
    if host.is_empty() {
        return Err(format!(
            "the host is missing: write {scheme}://127.0.0.1:{port}"
        ));
    }
    port.parse::<u16>()
        .map_err(|_| format!("`{port}` is no port: write 1 to 65535"))?;
    Ok(Endpoint {
        kind,
        is_mllp,
        is_tls: scheme.starts_with("tls") || scheme.starts_with("mllps"),
        address,
    })
}

impl Endpoint {
    /// Whether both cannot be open in one process.
    pub fn clashes(&self, other: &Self) -> bool {
        match (self.kind, other.kind) {
            (EndpointKind::Serial, EndpointKind::Serial) => self.address == other.address,
            (EndpointKind::Listen, EndpointKind::Listen) => {
                addresses_clash(&self.address, &other.address)
            }
            _ => false,
        }
    }
}

/// One `host:port` is the other, or one of them is that port on every interface. Port 0 is any
/// free port, so it never clashes.
pub fn addresses_clash(a: &str, b: &str) -> bool {
    let (Some((host_a, port_a)), Some((host_b, port_b))) = (a.rsplit_once(':'), b.rsplit_once(':'))
    else {
        return a == b;
    };
    let every = |host: &str| matches!(host, "0.0.0.0" | "[::]" | "*");
    let name = |host: &str| {
        if host == "localhost" {
            "127.0.0.1"
        } else {
            host
        }
        .to_owned()
    };
    port_a == port_b
        && port_a != "0"
        && (name(host_a) == name(host_b) || every(host_a) || every(host_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_strings_read_or_say_what_to_write() {
        let check = |text: &str, expected: Result<(EndpointKind, &str), &str>| {
            let read = read(text);
            match expected {
                Ok((kind, address)) => {
                    let endpoint = read.expect(text);
                    assert_eq!((endpoint.kind, endpoint.address.as_str()), (kind, address));
                }
                Err(part) => {
                    let error = read.expect_err(text);
                    assert!(error.contains(part), "{text}: {error}");
                }
            }
        };
        check(
            "tcp-listen://127.0.0.1:5001",
            Ok((EndpointKind::Listen, "127.0.0.1:5001")),
        );
        check(
            "mllp://his.local:2576",
            Ok((EndpointKind::Connect, "his.local:2576")),
        );
        check(
            "serial:///dev/ttyUSB0?baud=9600",
            Ok((EndpointKind::Serial, "/dev/ttyUSB0")),
        );
        check("127.0.0.1:5001", Err("tcp-listen://"));
        check("udp://127.0.0.1:5001", Err("`udp` is no kind"));
        check("tcp://analyzer", Err("port is missing"));
        check("tcp://analyzer:70000", Err("no port"));
        check("tcp-listen://:5001", Err("host is missing"));
        check("serial://", Err("name the device"));
    }

    #[test]
    fn one_address_twice_clashes_and_a_free_port_does_not() {
        assert!(addresses_clash("127.0.0.1:5001", "127.0.0.1:5001"));
        assert!(addresses_clash("0.0.0.0:5001", "127.0.0.1:5001"));
        assert!(addresses_clash("localhost:5001", "127.0.0.1:5001"));
        assert!(!addresses_clash("127.0.0.1:5001", "127.0.0.1:5002"));
        assert!(!addresses_clash("127.0.0.1:0", "127.0.0.1:0"));
    }
}
