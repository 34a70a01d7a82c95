//! `[[instrument]]`: an analyzer, a track, anything with a line.

use super::{
    Seams,
    choice::{Durability, ImagesTaken, Orders, Unmapped},
    guard::Guard,
    host, lab,
    read::{At, Table},
    suggest::did_you_mean,
};

/// One line and the device at its other end.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// Its name in this file and everywhere.
    pub id: At<String>,
    /// `vendor/model` of its profile.
    pub profile: At<String>,
    /// Where it is connected.
    pub port: At<String>,
    /// Where it takes orders, if not there (IHE LAW: a connection for each initiator).
    pub orders_port: Option<At<String>>,
    /// The section of the laboratory it belongs to; empty if none.
    pub section: At<String>,
    /// What must be on disk before an ACK.
    pub durability: Durability,
    /// Character set, if the profile's is not the right one.
    pub charset: Option<At<String>>,
    /// The device's code in insurance data (MA_MAY).
    pub ma_may: String,
    /// How the device gets its orders.
    pub orders: Orders,
    /// What happens to a code that nothing maps.
    pub unmapped: At<Unmapped>,
    /// The site's own mapping: instrument code to catalogue test; wins over the profile's.
    pub tests: Vec<(At<String>, At<String>)>,
    /// Unit, in UCUM, of results that come without one, by instrument code; wins over the profile's.
    pub units: Vec<(At<String>, At<String>)>,
    /// Zone of its wall clock, if not the laboratory's.
    pub timezone: Option<At<String>>,
    /// What the device itself writes in H.5 or MSH-3, the whole field as sent, `*` for anything; none:
    /// whatever the profile says.
    pub sender: Vec<At<String>>,
    /// TLS, and who may connect.
    pub guard: Guard,
    /// The folder that it writes the files of its pictures to, against `lab.toml`.
    pub images: Option<At<String>>,
    /// What becomes of a file there that was taken.
    pub images_taken: At<ImagesTaken>,
    /// A control is due every so many hours; `None`: nobody is reminded.
    pub qc_every_h: Option<At<u32>>,
}

impl Instrument {
    pub(super) fn read(table: &Table<'_>, seams: &Seams<'_>) -> Self {
        let id = lab::id(table, "xn-1");
        let profile = profile(table, seams);
        let results_port = table
            .required_text("port", PORT_EXAMPLE)
            .map(|text| port(table, "port", text, seams))
            .unwrap_or_default();
        let orders_port = table
            .text("orders_port")
            .map(|text| port(table, "orders_port", text, seams));
        Self {
            id,
            profile,
            guard: Guard::read(table, &[Some(&results_port), orders_port.as_ref()], seams),
            port: results_port,
            orders_port,
            section: table.text_or("section", ""),
            durability: table.choice("durability").value,
            charset: host::charset(table, seams),
            ma_may: table.text_or("ma_may", "").value,
            orders: table.choice("orders").value,
            unmapped: table.choice("unmapped"),
            tests: table.pairs("tests"),
            units: table.pairs("units"),
            timezone: lab::timezone(table),
            images: table.text("images"),
            images_taken: table.choice("images_taken"),
            sender: table.texts("sender").unwrap_or_default(),
            // 0 is nobody's rhythm: it stands for a key that is not written.
            qc_every_h: Some(table.whole("qc_every_h", 0, 1..=720)).filter(|hours| **hours > 0),
        }
    }

    /// The catalogue test that the site maps a code to.
    pub fn test_for(&self, code: &str) -> Option<&str> {
        let (_, test) = self.tests.iter().find(|(sent, _)| **sent == code)?;
        Some(test)
    }
}

fn profile(table: &Table<'_>, seams: &Seams<'_>) -> At<String> {
    let Some(name) = table.required_text("profile", "generic/astm") else {
        return At::default();
    };
    let Some(known) = &seams.profiles else {
        return name;
    };
    if known.contains(&name.value) {
        return name;
    }
    let words: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = match did_you_mean(&name, &words) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("the profiles are {}", few(&words)),
    };
    let message = format!("unknown profile `{}`", *name);
    table.file().error(
        "CONF-0204",
        name.span.clone(),
        message,
        "no such profile",
        help,
    );
    name
}

/// So many names are still read; more are skipped over.
const NAMES_SHOWN: usize = 12;

fn few(words: &[&str]) -> String {
    let shown: Vec<&str> = words.iter().copied().take(NAMES_SHOWN).collect();
    let more = if words.len() > NAMES_SHOWN {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", shown.join(", "))
}

/// A device's client is served here.
const PORT_EXAMPLE: &str = "tcp-listen://127.0.0.1:5001";

pub(super) fn port(
    table: &Table<'_>,
    key: &str,
    text: At<String>,
    seams: &Seams<'_>,
) -> At<String> {
    if let Err(help) = (seams.endpoint)(&text) {
        let message = format!("`{key}` is no port: `{}`", *text);
        table.file().error(
            "CONF-0203",
            text.span.clone(),
            message,
            "cannot be opened",
            help,
        );
    }
    text
}
