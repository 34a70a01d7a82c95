//! The words that a key may have as its value.

use crate::text::Language;

/// A value that is one of a few words.
pub trait Choice: Copy + Default + 'static {
    /// Every value, in the order of the documentation.
    const ALL: &'static [Self];

    /// As a file writes it.
    fn word(self) -> &'static str;

    /// The inverse of [`Choice::word`].
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

macro_rules! choices {
    ($($doc:literal $name:ident { $($variant:ident = $word:literal, $text:literal;)* } default $default:ident)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $text] $variant),* }

        impl Default for $name {
            fn default() -> Self { Self::$default }
        }

        impl $crate::config::choice::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    )*};
}

pub(crate) use choices;

choices! {
    "How a HIS speaks (`kind`)."
    HostKind {
        Mllp = "mllp", "HL7 v2 over MLLP.";
        Http = "http", "HL7 v2 over HTTP: orders fetched, results posted.";
    } default Mllp

    "HL7 version of what Labwire sends (`version`)."
    Version {
        V231 = "2.3.1", "No SPM, no OML.";
        V24 = "2.4", "No SPM.";
        V251 = "2.5.1", "What IHE builds on.";
        V26 = "2.6", "As 2.5.1, with UAC.";
    } default V251

    "What happens to a result that nothing holds (`release`)."
    Release {
        Auto = "auto", "It is posted.";
        Review = "review", "A person looks at it first.";
    } default Auto

    "A result whose specimen has no order (`unordered`)."
    Unordered {
        Hold = "hold", "It waits for its order.";
        Post = "post", "It is posted where patient and specimen id are known.";
    } default Hold

    "A test that nobody ordered on a specimen that has an order (`extras`)."
    Extras {
        Keep = "keep", "Kept and shown.";
        Post = "post", "Posted with the others.";
    } default Keep

    "What a test is an index of (`index`)."
    Index {
        Haemolysis = "haemolysis", "Haemolysis: free haemoglobin in the specimen.";
    } default Haemolysis

    "Whether a host gets the pictures beside its results (`images` of a host)."
    HostImages {
        None = "none", "They are kept and shown in the console.";
        Ed = "ed", "As OBX of type ED behind the results.";
    } default None

    "What becomes of a picture's file once it is kept (`images_taken`)."
    ImagesTaken {
        Leave = "leave", "It stays in the device's folder.";
        Delete = "delete", "It is deleted there.";
    } default Leave

    "What answers an order (`reply`)."
    Reply {
        Orl = "orl", "ORL^O22, or ORR^O02 for an ORM.";
        Ack = "ack", "A plain ACK.";
    } default Orl

    "What Labwire asks for in MSH-15 and MSH-16 (`ack`)."
    AckMode {
        Original = "original", "Both empty.";
        Enhanced = "enhanced", "A commit acknowledgement first.";
    } default Original

    "What must be on disk before a device gets its ACK (`durability`)."
    Durability {
        Frame = "frame", "Every frame.";
        Message = "message", "Whole messages; for devices that resend whole messages.";
    } default Frame

    "How a device gets its orders (`orders`)."
    Orders {
        Auto = "auto", "It asks where its profile can ask, else it is told.";
        Query = "query", "It asks.";
        Download = "download", "It is told as soon as the order comes.";
        Both = "both", "It is told, and may ask too.";
    } default Auto

    "A test code that nothing maps (`unmapped`)."
    Unmapped {
        Hold = "hold", "The result is held.";
        Pass = "pass", "The code itself is the test id.";
    } default Hold

    "How careful the release of a test is (`class`)."
    Class {
        Routine = "routine", "Released as its host says.";
        Transfusion = "transfusion", "Never released by itself.";
    } default Routine

    "How many verifiers release a result of blood transfusion (`transfusion_release`)."
    Verifiers {
        One = "one", "One verifier.";
        Two = "two", "A second one, who is another person.";
    } default One
}

impl Choice for Language {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.code()
    }
}

impl Version {
    /// Whether SPM carries the specimen (HL7 v2.5 and later).
    pub const fn has_spm(self) -> bool {
        match self {
            Self::V231 | Self::V24 => false,
            Self::V251 | Self::V26 => true,
        }
    }
}
