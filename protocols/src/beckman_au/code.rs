//! The distinction code: the two letters that every block begins with.

/// The two letters as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code([u8; 2]);

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `RB`: the instrument begins to ask for orders.
    RequestStart,
    /// `R `, `RH`, `Rh`: it asks for the order of one sample.
    Request,
    /// `RE`: it has no more to ask.
    RequestEnd,
    /// `S `, `SH`, `Sh`: the host's order for the sample asked for.
    Order,
    /// `SE`: the host has no order; on a batch request it also ends the asking.
    NoOrder,
    /// `DB`: the instrument begins to send results.
    ResultStart,
    /// `D `, `DH`, `d `, `dH`: results of a patient's sample.
    Result,
    /// `DQ`, `dQ`: results of a control.
    Control,
    /// `DA`, `dA`: a calibration.
    Calibration,
    /// `DR`, `dR`: a reagent blank.
    ReagentBlank,
    /// `DE`: it has no more results.
    ResultEnd,
}

/// Whether a sample is measured for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Run {
    /// A space in the second place.
    First,
    /// `H`: repeat run.
    Repeat,
    /// `h`: repeat run that the analyzer began by itself.
    AutomaticRepeat,
}

impl Code {
    /// `R `: a request.
    pub const REQUEST: Self = Self(*b"R ");
    /// `S `: an order.
    pub const ORDER: Self = Self(*b"S ");
    /// `SE`: no order.
    pub const NO_ORDER: Self = Self(*b"SE");
    /// `D `: results of a patient's sample.
    pub const RESULT: Self = Self(*b"D ");
    /// `DQ`: results of a control.
    pub const CONTROL: Self = Self(*b"DQ");
    /// `RB`: requests begin.
    pub const REQUEST_START: Self = Self(*b"RB");
    /// `RE`: requests end.
    pub const REQUEST_END: Self = Self(*b"RE");
    /// `DB`: results begin.
    pub const RESULT_START: Self = Self(*b"DB");
    /// `DE`: results end.
    pub const RESULT_END: Self = Self(*b"DE");

    /// The code of these two letters, known or not.
    pub const fn new(letters: [u8; 2]) -> Self {
        Self(letters)
    }

    /// The code that a block begins with; `None` if it has not even two letters.
    pub fn of(block: &[u8]) -> Option<Self> {
        let letters = block.first_chunk::<2>()?;
        letters
            .iter()
            .all(|byte| *byte >= b' ')
            .then_some(Self(*letters))
    }

    /// The two letters.
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }

    /// What the text is for; `None` where nothing is known of the code.
    pub const fn kind(self) -> Option<Kind> {
        Some(match &self.0 {
            b"RB" => Kind::RequestStart,
            b"RE" => Kind::RequestEnd,
            b"R " | b"RH" | b"Rh" => Kind::Request,
            b"SE" => Kind::NoOrder,
            b"S " | b"SH" | b"Sh" => Kind::Order,
            b"DB" => Kind::ResultStart,
            b"DE" => Kind::ResultEnd,
            b"D " | b"DH" | b"Dh" | b"d " | b"dH" | b"dh" => Kind::Result,
            b"DQ" | b"dQ" => Kind::Control,
            b"DA" | b"dA" => Kind::Calibration,
            b"DR" | b"dR" => Kind::ReagentBlank,
            _ => return None,
        })
    }

    /// `d` in the first place: a result that an urgent sample did not wait for the rest with.
    pub const fn is_stat(self) -> bool {
        self.0[0] == b'd'
    }

    /// Which run it is, where the second letter says so.
    pub const fn run(self) -> Option<Run> {
        match self.0[1] {
            b' ' => Some(Run::First),
            b'H' => Some(Run::Repeat),
            b'h' => Some(Run::AutomaticRepeat),
            _ => None,
        }
    }

    /// The code of the order that answers this request: the same run.
    pub const fn answer(self) -> Option<Self> {
        match self.kind() {
            Some(Kind::Request) => Some(Self([b'S', self.0[1]])),
            _ => None,
        }
    }
}
