//! The unit atoms and prefixes of UCUM that a laboratory meets.

/// An atom: its code, whether it takes prefixes, its factor as a fraction and a power of ten, and
/// what it is made of.
pub(super) struct Atom {
    pub(super) code: &'static str,
    pub(super) is_metric: bool,
    pub(super) fraction: (u64, u64),
    pub(super) ten: i32,
    pub(super) dimensions: &'static [(&'static str, i32)],
}

const fn metric(code: &'static str, ten: i32, dimensions: &'static [(&'static str, i32)]) -> Atom {
    Atom {
        code,
        is_metric: true,
        fraction: (1, 1),
        ten,
        dimensions,
    }
}

const fn plain(
    code: &'static str,
    fraction: (u64, u64),
    dimensions: &'static [(&'static str, i32)],
) -> Atom {
    Atom {
        code,
        is_metric: false,
        fraction,
        ten: 0,
        dimensions,
    }
}

const VOLUME: &[(&str, i32)] = &[("m", 3)];
const TIME: &[(&str, i32)] = &[("s", 1)];
const PRESSURE: &[(&str, i32)] = &[("g", 1), ("m", -1), ("s", -2)];
const ENERGY: &[(&str, i32)] = &[("g", 1), ("m", 2), ("s", -2)];

/// UCUM tables 1 to 18, as far as needed. Special units (`Cel`, `[pH]`) and arbitrary units are
/// dimensions of their own: equal to themselves, to nothing else. Tesla and gauss are left out on
/// purpose: `T/L` and `G/L` mean cell counts in a laboratory.
pub(super) const ATOMS: &[Atom] = &[
    metric("m", 0, &[("m", 1)]),
    metric("s", 0, TIME),
    metric("g", 0, &[("g", 1)]),
    metric("K", 0, &[("K", 1)]),
    metric("Cel", 0, &[("Cel", 1)]),
    metric("mol", 0, &[("mol", 1)]),
    metric("eq", 0, &[("eq", 1)]),
    metric("osm", 0, &[("osm", 1)]),
    metric("kat", 0, &[("mol", 1), ("s", -1)]),
    // U = umol/min = 10^-6 mol / 60 s.
    Atom {
        code: "U",
        is_metric: true,
        fraction: (1, 60),
        ten: -6,
        dimensions: &[("mol", 1), ("s", -1)],
    },
    metric("L", -3, VOLUME),
    metric("l", -3, VOLUME),
    metric("N", 3, &[("g", 1), ("m", 1), ("s", -2)]),
    metric("Pa", 3, PRESSURE),
    metric("bar", 8, PRESSURE),
    metric("J", 3, ENERGY),
    // UCUM: m[Hg] = 133.3220 kPa, and kPa = 10^6 g/(m.s2).
    Atom {
        code: "m[Hg]",
        is_metric: true,
        fraction: (133_322, 1),
        ten: 3,
        dimensions: PRESSURE,
    },
    metric("Hz", 0, &[("s", -1)]),
    plain("min", (60, 1), TIME),
    plain("h", (3600, 1), TIME),
    plain("d", (86_400, 1), TIME),
    plain("wk", (604_800, 1), TIME),
    plain("mo", (2_629_800, 1), TIME),
    plain("a", (31_557_600, 1), TIME),
    plain("%", (1, 100), &[]),
    plain("[ppth]", (1, 1000), &[]),
    plain("[ppm]", (1, 1_000_000), &[]),
    plain("[ppb]", (1, 1_000_000_000), &[]),
    // UCUM: g% = g/dL.
    Atom {
        code: "g%",
        is_metric: true,
        fraction: (1, 1),
        ten: 4,
        dimensions: &[("g", 1), ("m", -3)],
    },
    plain("[pH]", (1, 1), &[("[pH]", 1)]),
    plain("[HPF]", (1, 1), &[("[HPF]", 1)]),
    plain("[LPF]", (1, 1), &[("[LPF]", 1)]),
    // [IU] is the same unit as [iU] (UCUM table 18).
    metric("[iU]", 0, &[("[iU]", 1)]),
    metric("[IU]", 0, &[("[iU]", 1)]),
    plain("[arb'U]", (1, 1), &[("[arb'U]", 1)]),
    plain("[USP'U]", (1, 1), &[("[USP'U]", 1)]),
    plain("[GPL'U]", (1, 1), &[("[GPL'U]", 1)]),
    plain("[MPL'U]", (1, 1), &[("[MPL'U]", 1)]),
    plain("[APL'U]", (1, 1), &[("[APL'U]", 1)]),
    plain("[beth'U]", (1, 1), &[("[beth'U]", 1)]),
    plain("[anti'Xa'U]", (1, 1), &[("[anti'Xa'U]", 1)]),
    plain("[todd'U]", (1, 1), &[("[todd'U]", 1)]),
    plain("[CFU]", (1, 1), &[("[CFU]", 1)]),
];

/// UCUM table 1, with the powers of ten.
pub(super) const PREFIXES: &[(&str, i32)] = &[
    ("da", 1),
    ("Y", 24),
    ("Z", 21),
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("h", 2),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
];
