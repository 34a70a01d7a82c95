//! Where a device is: the port strings of `lab.toml`.

use std::{fmt, path::PathBuf};

use thiserror::Error;

use crate::tls::TlsSide;

/// How messages are cut out of the stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// The device's own protocol runs in the bare stream (ASTM and the like).
    Stream,
    /// HL7 blocks (MLLP).
    Mllp,
}

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Labwire listens at this `host:port`, the device connects.
    TcpListen(String),
    /// The device listens at this `host:port`, Labwire connects.
    TcpConnect(String),
    /// As [`Self::TcpListen`], over TLS.
    TlsListen(String),
    /// As [`Self::TcpConnect`], over TLS.
    TlsConnect(String),
    /// A serial port of this machine.
    Serial(SerialSettings),
}

impl Endpoint {
    /// Whether Labwire listens and the device connects.
    pub const fn listens(&self) -> bool {
        matches!(self, Self::TcpListen(_) | Self::TlsListen(_))
    }

    /// Whether Labwire connects to the device over a network.
    pub const fn dials(&self) -> bool {
        matches!(self, Self::TcpConnect(_) | Self::TlsConnect(_))
    }

    /// The side of the handshake that Labwire is, where there is one.
    pub const fn tls_side(&self) -> Option<TlsSide> {
        match self {
            Self::TlsListen(_) => Some(TlsSide::Server),
            Self::TlsConnect(_) => Some(TlsSide::Client),
            Self::TcpListen(_) | Self::TcpConnect(_) | Self::Serial(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpListen(at) => write!(f, "tcp-listen://{at}"),
            Self::TcpConnect(to) => write!(f, "tcp://{to}"),
            Self::TlsListen(at) => write!(f, "tls-listen://{at}"),
            Self::TlsConnect(to) => write!(f, "tls://{to}"),
            Self::Serial(settings) => settings.fmt(f),
        }
    }
}

/// A serial port and its line settings. LIS01-A2 5.2 prefers 9600 bit/s, 8 bits, no parity, 1 stop bit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialSettings {
    /// The device file, best a stable one such as `/dev/serial/by-id/…`.
    pub path: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// Data bits of a character: 7 or 8.
    pub bits: u8,
    /// The parity bit.
    pub parity: Parity,
    /// Stop bits: 1 or 2.
    pub stop: u8,
    /// Flow control; the standards use none.
    pub flow: Flow,
}

impl SerialSettings {
    /// The port at `path` with 9600 bit/s, 8 bits, no parity, 1 stop bit, no flow control.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            baud: 9600,
            bits: 8,
            parity: Parity::None,
            stop: 1,
            flow: Flow::None,
        }
    }
}

impl fmt::Display for SerialSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            baud,
            bits,
            parity,
            stop,
            flow,
        } = self;
        let (path, parity) = (path.display(), parity.name());
        write!(
            f,
            "serial://{path}?baud={baud}&bits={bits}&parity={parity}&stop={stop}"
        )?;
        match flow {
            Flow::None => Ok(()),
            Flow::RtsCts | Flow::XonXoff => write!(f, "&flow={}", flow.name()),
        }
    }
}

/// The parity bit of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Odd parity.
    Odd,
    /// Even parity.
    Even,
}

impl Parity {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Odd => "odd",
            Self::Even => "even",
        }
    }
}

/// Flow control of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// None.
    None,
    /// By the RTS and CTS wires.
    RtsCts,
    /// By the characters DC1 and DC3, which then cannot be data.
    XonXoff,
}

impl Flow {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RtsCts => "rtscts",
            Self::XonXoff => "xonxoff",
        }
    }
}

/// What is wrong with a port string, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// There is no `://`.
    #[error("`{given}` does not say what kind of port it is; write {KINDS}")]
    NoScheme {
        /// The string as written.
        given: String,
    },
    /// The word before `://` is unknown.
    #[error("`{scheme}://` is not a kind of port; write {KINDS}")]
    UnknownScheme {
        /// The word before `://`.
        scheme: String,
    },
    /// A kind of port over TLS, by another name.
    #[error("`{scheme}://` is written {instead}:// here")]
    Tls {
        /// The word before `://`.
        scheme: String,
        /// What it is called here.
        instead: &'static str,
    },
    /// No host or no port number.
    #[error("`{given}` lacks {missing}; write {scheme}://127.0.0.1:5001")]
    Incomplete {
        /// The string as written.
        given: String,
        /// What is not there.
        missing: &'static str,
        /// The word before `://`.
        scheme: String,
    },
    /// The host or the port number cannot be one.
    #[error("`{part}` is not {what}; write {instead}")]
    Wrong {
        /// The part as written.
        part: String,
        /// What it should be.
        what: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// A serial setting that does not exist.
    #[error("`{name}` is not a serial setting; write baud, bits, parity, stop or flow")]
    UnknownSetting {
        /// The name as written.
        name: String,
    },
    /// A serial setting given twice.
    #[error("the serial setting `{name}` is given twice; keep one")]
    SettingTwice {
        /// The name.
        name: String,
    },
}

impl EndpointError {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoScheme { .. } => "DRV-0001",
            Self::UnknownScheme { .. } => "DRV-0002",
            Self::Tls { .. } => "DRV-0003",
            Self::Incomplete { .. } => "DRV-0004",
            Self::Wrong { .. } => "DRV-0005",
            Self::UnknownSetting { .. } => "DRV-0006",
            Self::SettingTwice { .. } => "DRV-0007",
        }
    }
}

const KINDS: &str = "tcp-listen://127.0.0.1:5001 (the device connects), tcp://10.0.0.7:5001 (Labwire \
                     connects), mllp-listen://… or mllp://… for HL7, the same over TLS as tls-listen://…, tls://…, \
                     mllps-listen://… and mllps://…, or serial:///dev/ttyUSB0?baud=9600";

/// Reads a port string of `lab.toml`.
///
/// # Errors
/// Says which part is wrong and what to write instead.
pub fn parse(given: &str) -> Result<(Framing, Endpoint), EndpointError> {
    let Some((scheme, rest)) = given.split_once("://") else {
        return Err(EndpointError::NoScheme {
            given: given.to_owned(),
        });
    };
    let (framing, of): (_, fn(String) -> Endpoint) = match scheme {
        "serial" => return Ok((Framing::Stream, Endpoint::Serial(serial(given, rest)?))),
        "tcp-listen" => (Framing::Stream, Endpoint::TcpListen),
        "tcp" => (Framing::Stream, Endpoint::TcpConnect),
        "mllp-listen" => (Framing::Mllp, Endpoint::TcpListen),
        "mllp" => (Framing::Mllp, Endpoint::TcpConnect),
        "tls-listen" => (Framing::Stream, Endpoint::TlsListen),
        "tls" => (Framing::Stream, Endpoint::TlsConnect),
        "mllps-listen" => (Framing::Mllp, Endpoint::TlsListen),
        "mllps" => (Framing::Mllp, Endpoint::TlsConnect),
        _ => return Err(unknown(scheme)),
    };
    let listens = scheme.ends_with("-listen");
    Ok((framing, of(address(given, scheme, rest, listens)?)))
}

fn unknown(scheme: &str) -> EndpointError {
    let instead = match scheme {
        "tcps" | "tcp-tls" | "tcp+tls" | "tls-tcp" | "ssl" => "tls",
        "tcps-listen" | "tcp-tls-listen" | "tcp-listen+tls" | "ssl-listen" => "tls-listen",
        "mllp-tls" | "tls-mllp" | "mllp+tls" => "mllps",
        "mllp-tls-listen" | "tls-mllp-listen" | "mllp-listen+tls" => "mllps-listen",
        _ => {
            return EndpointError::UnknownScheme {
                scheme: scheme.to_owned(),
            };
        }
    };
    EndpointError::Tls {
        scheme: scheme.to_owned(),
        instead,
    }
}

fn address(given: &str, scheme: &str, rest: &str, listens: bool) -> Result<String, EndpointError> {
    let incomplete = |missing| EndpointError::Incomplete {
        given: given.to_owned(),
        missing,
        scheme: scheme.to_owned(),
    };
    let (host, port) = match rest.rsplit_once(':') {
        // The last colon of a bare IPv6 address is not before a port number.
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => return Err(incomplete("the port number")),
    };
    if host.is_empty() {
        return Err(incomplete("the host"));
    }
    if port.is_empty() {
        return Err(incomplete("the port number"));
    }
    check_host(host)?;
    check_port(port, listens)?;
    Ok(format!("{host}:{port}"))
}

fn check_host(host: &str) -> Result<(), EndpointError> {
    let wrong = |what, instead| {
        Err(EndpointError::Wrong {
            part: host.to_owned(),
            what,
            instead,
        })
    };
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').unwrap_or_default();
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => wrong("an IPv6 address in brackets", "[::1]:5001"),
        };
    }
    if host.contains(':') {
        return wrong("a host", "an IPv6 address in brackets, as in [::1]:5001");
    }
    let is_name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if is_name {
        Ok(())
    } else {
        wrong("a host name or address", "10.0.0.7:5001 or xn1.lab:5001")
    }
}

fn check_port(port: &str, listens: bool) -> Result<(), EndpointError> {
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        // Port 0 lets the system choose, which a device cannot know: of use to tests alone.
        Ok(number) if is_number && (number > 0 || listens) => Ok(()),
        Ok(_) | Err(_) => Err(EndpointError::Wrong {
            part: port.to_owned(),
            what: "a port number",
            instead: "a number from 1 to 65535, and nothing after it",
        }),
    }
}

fn serial(given: &str, rest: &str) -> Result<SerialSettings, EndpointError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err(EndpointError::Wrong {
            part: given.to_owned(),
            what: "a serial port with its device file",
            instead: "serial:///dev/ttyUSB0?baud=9600 (three slashes), or serial://COM3?baud=9600",
        });
    }
    let mut settings = SerialSettings::new(path);
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(EndpointError::SettingTwice {
                name: name.to_owned(),
            });
        }
        seen.push(name);
        set(&mut settings, name, value)?;
    }
    Ok(settings)
}

fn set(settings: &mut SerialSettings, name: &str, value: &str) -> Result<(), EndpointError> {
    let wrong = |what, instead| EndpointError::Wrong {
        part: value.to_owned(),
        what,
        instead,
    };
    match name {
        "baud" => {
            let baud = value.parse().ok().filter(|baud| BAUD_RATES.contains(baud));
            settings.baud = baud.ok_or_else(|| wrong("a baud rate", "baud=9600 (300 … 921600)"))?;
        }
        "bits" => {
            let bits = value.parse().ok().filter(|bits| [7, 8].contains(bits));
            settings.bits =
                bits.ok_or_else(|| wrong("a number of data bits", "bits=8 or bits=7"))?;
        }
        "stop" => {
            let stop = value.parse().ok().filter(|stop| [1, 2].contains(stop));
            settings.stop =
                stop.ok_or_else(|| wrong("a number of stop bits", "stop=1 or stop=2"))?;
        }
        "parity" => {
            let parity = [Parity::None, Parity::Odd, Parity::Even].into_iter();
            settings.parity = parity
                .into_iter()
                .find(|parity| parity.name() == value)
                .ok_or_else(|| wrong("a parity", "parity=none, parity=odd or parity=even"))?;
        }
        "flow" => {
            settings.flow = [Flow::None, Flow::RtsCts, Flow::XonXoff]
                .into_iter()
                .find(|flow| flow.name() == value)
                .ok_or_else(|| wrong("a flow control", "flow=none, flow=rtscts or flow=xonxoff"))?;
        }
        _ => {
            return Err(EndpointError::UnknownSetting {
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// LIS01-A2 5.2.1.1 asks for 1200 to 9600; the rest are what UARTs and USB adapters do.
const BAUD_RATES: [u32; 14] = [
    300, 600, 1200, 2400, 4800, 9600, 14_400, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800,
    921_600,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_strings_are_read_and_written_back() {
        for given in [
            "tcp-listen://127.0.0.1:5001",
            "tcp-listen://0.0.0.0:0",
            "tcp://xn-1.lab.example:5001",
            "tcp://[::1]:5001",
            "tls-listen://127.0.0.1:5001",
            "tls://xn-1.lab.example:5001",
            "serial:///dev/ttyUSB0?baud=9600&bits=8&parity=none&stop=1",
            "serial://COM3?baud=19200&bits=7&parity=even&stop=2",
            "serial:///dev/ttyS0?baud=1200&bits=7&parity=odd&stop=1&flow=rtscts",
        ] {
            let (framing, endpoint) = parse(given).unwrap();
            assert_eq!(
                (framing, endpoint.to_string().as_str()),
                (Framing::Stream, given)
            );
        }
    }

    #[test]
    fn mllp_is_a_framing_over_the_same_ports() {
        let at = "10.0.0.7:2575".to_owned();
        assert_eq!(
            parse("mllp://10.0.0.7:2575").unwrap(),
            (Framing::Mllp, Endpoint::TcpConnect(at.clone()))
        );
        assert_eq!(
            parse("mllp-listen://10.0.0.7:2575").unwrap(),
            (Framing::Mllp, Endpoint::TcpListen(at.clone()))
        );
        assert_eq!(
            parse("mllps://10.0.0.7:2575").unwrap(),
            (Framing::Mllp, Endpoint::TlsConnect(at.clone()))
        );
        assert_eq!(
            parse("mllps-listen://10.0.0.7:2575").unwrap(),
            (Framing::Mllp, Endpoint::TlsListen(at))
        );
    }

    #[test]
    fn serial_settings_left_out_are_those_of_the_standard() {
        let (_, endpoint) = parse("serial:///dev/ttyUSB0").unwrap();
        assert_eq!(
            endpoint,
            Endpoint::Serial(SerialSettings::new("/dev/ttyUSB0"))
        );
    }

    fn check_refused(rows: &[(&str, &str, &str)]) {
        for (given, code, words) in rows {
            let error = parse(given).unwrap_err();
            assert_eq!(error.code(), *code, "{given}: {error}");
            assert!(error.to_string().contains(words), "{given}: {error}");
        }
    }

    #[test]
    fn errors_of_network_ports_say_what_to_write_instead() {
        check_refused(&[
            (
                "127.0.0.1:5001",
                "DRV-0001",
                "tcp-listen://127.0.0.1:5001 (the device connects)",
            ),
            ("", "DRV-0001", "write tcp-listen://"),
            (
                "udp://127.0.0.1:5001",
                "DRV-0002",
                "`udp://` is not a kind of port",
            ),
            ("tcps://127.0.0.1:5001", "DRV-0003", "is written tls://"),
            (
                "mllp-listen+tls://127.0.0.1:5001",
                "DRV-0003",
                "is written mllps-listen://",
            ),
            ("tls://10.0.0.7", "DRV-0004", "write tls://127.0.0.1:5001"),
            (
                "tcp://10.0.0.7",
                "DRV-0004",
                "lacks the port number; write tcp://127.0.0.1:5001",
            ),
            ("tcp://10.0.0.7:", "DRV-0004", "lacks the port number"),
            ("tcp://[::1]", "DRV-0004", "lacks the port number"),
            ("tcp-listen://:5001", "DRV-0004", "lacks the host"),
            ("tcp://::1:5001", "DRV-0005", "[::1]:5001"),
            (
                "tcp://[nonsense]:5001",
                "DRV-0005",
                "IPv6 address in brackets",
            ),
            ("tcp://10.0.0.7:70000", "DRV-0005", "1 to 65535"),
            ("tcp://10.0.0.7:+5", "DRV-0005", "1 to 65535"),
            ("tcp://10.0.0.7:0", "DRV-0005", "1 to 65535"),
            ("tcp://10.0.0.7:5001/", "DRV-0005", "nothing after it"),
            ("tcp://a b:5001", "DRV-0005", "host name"),
        ]);
    }

    #[test]
    fn errors_of_serial_ports_say_what_to_write_instead() {
        check_refused(&[
            ("serial://", "DRV-0005", "three slashes"),
            ("serial:///dev/ttyUSB0?baud=9601", "DRV-0005", "baud=9600"),
            (
                "serial:///dev/ttyUSB0?bits=9",
                "DRV-0005",
                "bits=8 or bits=7",
            ),
            (
                "serial:///dev/ttyUSB0?parity=mark",
                "DRV-0005",
                "parity=even",
            ),
            (
                "serial:///dev/ttyUSB0?stop=1.5",
                "DRV-0005",
                "stop=1 or stop=2",
            ),
            ("serial:///dev/ttyUSB0?flow", "DRV-0005", "flow=none"),
            (
                "serial:///dev/ttyUSB0?speed=9600",
                "DRV-0006",
                "write baud, bits",
            ),
            (
                "serial:///dev/ttyUSB0?baud=9600&baud=1200",
                "DRV-0007",
                "keep one",
            ),
        ]);
    }

    proptest::proptest! {
        #[test]
        fn no_port_string_breaks_the_reader(
            given in "(tcp|mllp|serial|tcp-listen|tls|tls-listen|mllps)?(://)?[\\[\\]:.?&=a-z0-9/é]{0,40}|.{0,40}",
        ) {
            if let Ok((_, endpoint)) = parse(&given) {
                let again = parse(&endpoint.to_string()).map(|(_, endpoint)| endpoint);
                proptest::prop_assert_eq!(again, Ok(endpoint));
            }
        }
    }
}
