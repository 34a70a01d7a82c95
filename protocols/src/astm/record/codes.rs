//! The coded fields (LIS02-A2 7 to 12): each letter and what it says.

/// Makes an enum of the codes of one field, with both directions of the translation.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum $name {
                $($(#[$vdoc])* $variant,)+
            }

            impl $name {
                /// Every code of the standard.
                pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

                /// The meaning of a code as sent; `None` for one that the standard does not have.
                /// Codes are case-sensitive.
                pub fn from_code(raw: &[u8]) -> Option<Self> {
                    // A chain of comparisons with constants, where a search would call memcmp.
                    $(if raw == $code.as_bytes() { return Some(Self::$variant); })+
                    None
                }

                /// The code as the standard writes it.
                pub const fn code(self) -> &'static str {
                    match self {
                        $(Self::$variant => $code,)+
                    }
                }
            }
        )+

        #[cfg(test)]
        fn all_codes() -> Vec<(&'static str, Vec<&'static str>, bool)> {
            vec![$((
                stringify!($name),
                $name::ALL.iter().map(|code| code.code()).collect(),
                $name::ALL.iter().all(|c| $name::from_code(c.code().as_bytes()) == Some(*c)),
            )),+]
        }
    };
}

codes! {
    /// H.12: what the message may be used for.
    ProcessingId {
        /// A real message.
        Production = "P",
        /// Training.
        Training = "T",
        /// Finding faults.
        Debugging = "D",
        /// Quality control.
        QualityControl = "Q",
    }

    /// O.6: how urgent.
    Priority {
        /// At once.
        Stat = "S",
        /// As soon as possible.
        Asap = "A",
        /// In the usual order.
        Routine = "R",
        /// The result is to be telephoned.
        Callback = "C",
        /// Before an operation.
        Preoperative = "P",
    }

    /// O.12: what to do with the order.
    ActionCode {
        /// Cancel the named tests.
        Cancel = "C",
        /// Add the tests to a specimen that is known.
        Add = "A",
        /// A new request with a new specimen.
        New = "N",
        /// The specimen is still to come.
        Pending = "P",
        /// Reserved.
        Reserved = "L",
        /// The specimen or test is in process already.
        InProcess = "X",
        /// Treat the specimen as quality control.
        QualityControl = "Q",
    }

    /// O.26: what the order record is.
    ReportType {
        /// An order, no results follow.
        Order = "O",
        /// Corrected results follow.
        Correction = "C",
        /// Preliminary results follow.
        Preliminary = "P",
        /// Final results follow.
        Final = "F",
        /// Cannot be done, or cancelled.
        CannotBeDone = "X",
        /// The instrument has not finished.
        Pending = "I",
        /// Answer: no order on record for the test.
        NoOrder = "Y",
        /// Answer: no record of the patient.
        NoPatient = "Z",
        /// Answer to a query.
        Response = "Q",
    }

    /// R.7: how the value lies to the reference range.
    AbnormalFlag {
        /// Below normal.
        Low = "L",
        /// Above normal.
        High = "H",
        /// Below the panic limit.
        PanicLow = "LL",
        /// Above the panic limit.
        PanicHigh = "HH",
        /// Below what the instrument can measure.
        BelowScale = "<",
        /// Above what the instrument can measure.
        AboveScale = ">",
        /// Normal.
        Normal = "N",
        /// Abnormal (a text).
        Abnormal = "A",
        /// Significantly higher than last time.
        Up = "U",
        /// Significantly lower than last time.
        Down = "D",
        /// Better.
        Better = "B",
        /// Worse.
        Worse = "W",
    }

    /// R.9: how final the result is.
    ResultStatus {
        /// Corrects a result that was sent.
        Correction = "C",
        /// Preliminary.
        Preliminary = "P",
        /// Final.
        Final = "F",
        /// Cannot be done.
        CannotBeDone = "X",
        /// Still pending in the instrument.
        Pending = "I",
        /// Partial.
        Partial = "S",
        /// A minimal inhibitory concentration.
        MicLevel = "M",
        /// Was transmitted before.
        Retransmitted = "R",
        /// Information needed to run a new order.
        NeededForOrder = "N",
        /// Answer to a query.
        Response = "Q",
        /// Approved by an operator.
        Verified = "V",
        /// Its validity is in question.
        Questionable = "W",
    }

    /// C.3: who comments.
    CommentSource {
        /// The practice that ordered.
        Practice = "P",
        /// The information system.
        InformationSystem = "L",
        /// The instrument.
        Instrument = "I",
    }

    /// C.5: what kind of comment.
    CommentType {
        /// Free text.
        Generic = "G",
        /// A result's name.
        ResultName = "T",
        /// A positive test.
        Positive = "P",
        /// A negative test.
        Negative = "N",
        /// An instrument flag.
        InstrumentFlag = "I",
    }

    /// Q.13: what is asked for.
    RequestStatus {
        /// Corrected results.
        Corrections = "C",
        /// Preliminary results.
        Preliminary = "P",
        /// Final results.
        Final = "F",
        /// The request cannot be answered and is cancelled.
        CannotBeDone = "X",
        /// Pending tests.
        Pending = "I",
        /// Partial results.
        Partial = "S",
        /// MIC levels.
        MicLevel = "M",
        /// What was transmitted before.
        Retransmitted = "R",
        /// Cancels the last request.
        Abort = "A",
        /// Only new or edited results.
        NewOrEdited = "N",
        /// Orders and demographics, no results.
        Orders = "O",
        /// Demographics only.
        Demographics = "D",
    }

    /// L.3: how the message ends. An empty field counts as normal.
    TerminationCode {
        /// Normal.
        Normal = "N",
        /// The sender broke off.
        SenderAborted = "T",
        /// The receiver asked to break off.
        ReceiverAborted = "R",
        /// An unknown error.
        SystemError = "E",
        /// The last request was in error.
        RequestError = "Q",
        /// Nothing is known that answers the last query.
        NoInformation = "I",
        /// The last request is processed.
        Processed = "F",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard_and_read_back() {
        let expected = [
            ("ProcessingId", "P T D Q"),
            ("Priority", "S A R C P"),
            ("ActionCode", "C A N P L X Q"),
            ("ReportType", "O C P F X I Y Z Q"),
            ("AbnormalFlag", "L H LL HH < > N A U D B W"),
            ("ResultStatus", "C P F X I S M R N Q V W"),
            ("CommentSource", "P L I"),
            ("CommentType", "G T P N I"),
            ("RequestStatus", "C P F X I S M R A N O D"),
            ("TerminationCode", "N T R E Q I F"),
        ];
        let found = all_codes();
        assert_eq!(found.len(), expected.len());
        for ((name, codes, reads_back), (expected_name, expected_codes)) in
            found.into_iter().zip(expected)
        {
            assert_eq!(
                (name, codes.join(" ").as_str()),
                (expected_name, expected_codes)
            );
            assert!(reads_back, "{name}");
        }
        assert_eq!(ResultStatus::from_code(b"f"), None);
        assert_eq!(ResultStatus::from_code(b""), None);
    }
}
