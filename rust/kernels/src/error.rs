//! What can be wrong with an argument. An orbit that leaves the finite numbers is a result.

/// A refused argument, or a call that was cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array of another shape than the rest implies.
    #[error("{name}: expected shape {expected}, found {found}")]
    Shape {
        /// The array.
        name: String,
        /// What the others imply.
        expected: String,
        /// What it has.
        found: String,
    },
    /// A setting out of range.
    #[error("{field}: {reason}")]
    Settings {
        /// The setting.
        field: &'static str,
        /// What is expected and what was found.
        reason: String,
    },
    /// NaN or infinity among the weights or the inputs.
    #[error("{name}: expected finite numbers, found {found} at index {index}")]
    NonFinite {
        /// The array.
        name: String,
        /// The first bad value.
        found: f64,
        /// Where it stands, counted in memory order.
        index: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// A refused setting.
    #[must_use]
    pub fn settings(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Settings {
            field,
            reason: reason.into(),
        }
    }

    /// Refuses a count of zero.
    ///
    /// # Errors
    /// [`Error::Settings`]
    pub fn unless_any(field: &'static str, count: usize) -> Result<(), Self> {
        if count > 0 {
            return Ok(());
        }
        Err(Self::settings(field, "expected at least 1, found 0"))
    }

    /// Refuses a number that is not positive and finite.
    ///
    /// # Errors
    /// [`Error::Settings`]
    pub fn unless_positive(field: &'static str, number: f64) -> Result<(), Self> {
        if number.is_finite() && number > 0.0 {
            return Ok(());
        }
        let reason = format!("expected a positive number, found {number}");
        Err(Self::settings(field, reason))
    }

    /// Refuses an array whose shape is not `expected`.
    ///
    /// # Errors
    /// [`Error::Shape`]
    pub fn unless_shape(
        name: impl Into<String>,
        expected: &[usize],
        found: &[usize],
    ) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self::Shape {
            name: name.into(),
            expected: format!("{expected:?}"),
            found: format!("{found:?}"),
        })
    }

    /// Refuses NaN and infinity.
    ///
    /// # Errors
    /// [`Error::NonFinite`]
    pub fn unless_finite<'a, T: Copy + Into<f64> + 'a>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<(), Self> {
        let mut values = values.into_iter().map(|&x| -> f64 { x.into() }).enumerate();
        match values.find(|(_, x)| !x.is_finite()) {
            None => Ok(()),
            Some((index, found)) => Err(Self::NonFinite {
                name: name.into(),
                found,
                index,
            }),
        }
    }
}
