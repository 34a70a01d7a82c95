//! Everything wrong with every file, told at once: file, line, the text underlined, the remedy.

use std::{fmt, ops::Range, sync::Arc};

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use super::secret;

/// One thing wrong in one file.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Stable code such as `CONF-0101`.
    pub code: &'static str,
    /// What is wrong, on what.
    pub message: String,
    /// Written under the offending text.
    pub label: String,
    /// What to write instead.
    pub help: String,
    /// The file and its text; `None` for what belongs to no file (a port in use).
    pub source: Option<Arc<NamedSource<String>>>,
    /// The offending bytes in that text.
    pub span: Option<Range<usize>>,
    /// Advice that does not stop the start.
    pub is_warning: bool,
}

impl Problem {
    /// The same as it may be shown: what stands around it in the file may hold a password.
    fn without_secrets(&self) -> Self {
        let hidden = |source: &Arc<NamedSource<String>>| {
            self::source(source.name(), secret::masked(source.inner()))
        };
        Self {
            source: self.source.as_ref().map(hidden),
            ..self.clone()
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.is_warning {
            miette::Severity::Warning
        } else {
            miette::Severity::Error
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display + 'a>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source
            .as_deref()
            .map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(
            Some(self.label.clone()),
            span.start,
            span.len(),
        ))))
    }
}

/// All problems of all files, in the order found.
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Takes over another list.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Every problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether anything must be mended before a start; warnings alone need not.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| !problem.is_warning)
    }

    /// Every problem, file by file in the order met, within a file from top to bottom.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut files: Vec<&str> = Vec::new();
        let mut sorted: Vec<(usize, usize, &Problem)> = Vec::new();
        for problem in &self.0 {
            let name = problem.source.as_ref().map_or("", |source| source.name());
            let file = files
                .iter()
                .position(|known| *known == name)
                .unwrap_or_else(|| {
                    files.push(name);
                    files.len() - 1
                });
            let start = problem.span.as_ref().map_or(0, |span| span.start);
            sorted.push((file, start, problem));
        }
        sorted.sort_by_key(|(file, start, _)| (*file, *start));
        sorted.into_iter().map(|(_, _, problem)| problem).collect()
    }

    /// `2 errors, 1 warning`.
    pub fn count(&self) -> String {
        let warnings = self.0.iter().filter(|problem| problem.is_warning).count();
        let errors = self.0.len() - warnings;
        let count = |number: usize, word: &str| match number {
            1 => format!("1 {word}"),
            _ => format!("{number} {word}s"),
        };
        match (errors, warnings) {
            (0, _) => count(warnings, "warning"),
            (_, 0) => count(errors, "error"),
            _ => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A file's name and text, for the problems found in it.
pub fn source(name: impl AsRef<str>, text: impl Into<String>) -> Arc<NamedSource<String>> {
    Arc::new(NamedSource::new(name, text.into()).with_language("TOML"))
}

/// All problems as a person reads them, file by file from top to bottom, with a last line that
/// counts them. Without colour it is plain ASCII around the quoted text, fit for logs and mails.
pub fn render(problems: &Problems, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::none()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_links(false)
        .with_context_lines(1);
    let mut text = String::new();
    for problem in problems.sorted() {
        let problem = &problem.without_secrets();
        // Writing to a string cannot fail; were it to, the plain message remains.
        if handler.render_report(&mut text, problem).is_err() {
            text.push_str(&problem.message);
        }
        text.push('\n');
    }
    if !problems.is_empty() {
        text.push_str(&problems.count());
        text.push('\n');
    }
    text
}
