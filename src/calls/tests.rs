//! What holds of the words of calls; what opens and closes them is tested where results are settled.

use super::*;

#[test]
fn every_code_is_read_back_as_it_was_written() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(*kind));
    }
    for state in State::ALL {
        assert_eq!(State::from_code(state.code()), Some(*state));
    }
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::from_code(outcome.code()), Some(*outcome));
    }
    assert_eq!(State::from_code("closed"), None);
}
