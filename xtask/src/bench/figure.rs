//! Owns one figure: its name, value, peer and goal, and its form in JSON. Never measures.

use crate::say;
use serde_json::{Value, json};

/// A number with at most three digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(u64);

impl Amount {
    pub(crate) fn whole(value: u64) -> Self {
        Self(value.saturating_mul(1000))
    }

    /// `part` of `whole`; `None` of nothing.
    pub(crate) fn of(part: u64, whole: u64) -> Option<Self> {
        Some(Self(part.checked_mul(1000)?.checked_div(whole)?))
    }

    /// Without what is behind the point.
    pub(crate) fn floor(self) -> u64 {
        self.0 / 1000
    }

    /// What people read.
    pub(crate) fn text(self) -> String {
        match self.0 % 1000 {
            0 => grouped(self.0 / 1000),
            rest => format!("{}.{rest:03}", grouped(self.0 / 1000)),
        }
    }

    fn json(self) -> Value {
        match self.0 % 1000 {
            0 => (self.0 / 1000).into(),
            rest => format!("{}.{rest:03}", self.0 / 1000)
                .parse::<f64>()
                .map_or(Value::Null, Value::from),
        }
    }
}

/// A number with a comma between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What was measured, beside whom, and what it must not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: Amount,
    pub(crate) peer: Option<(&'static str, Amount)>,
    pub(crate) goal: Option<Amount>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: Amount) -> Self {
        Self { name: name.into(), unit, value, peer: None, goal: None }
    }

    pub(crate) fn instructions(name: impl Into<String>, value: u64) -> Self {
        Self::new(name, INSTRUCTIONS, Amount::whole(value))
    }

    pub(crate) fn bytes(name: impl Into<String>, value: u64) -> Self {
        Self::new(name, "bytes", Amount::whole(value))
    }

    pub(crate) fn beside(mut self, peer: &'static str, value: Amount) -> Self {
        self.peer = Some((peer, value));
        self
    }

    pub(crate) fn goal(mut self, goal: Option<Amount>) -> Self {
        self.goal = goal;
        self
    }

    /// The value in parts of the peer's.
    pub(crate) fn ratio(&self) -> Option<Amount> {
        let (_, peer) = self.peer?;
        Amount::of(self.value.0, peer.0)
    }

    /// Whether the value is at most the goal, if there is one.
    pub(crate) fn met(&self) -> Option<bool> {
        Some(self.value <= self.goal?)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value.json(),
            "peer": self.peer.map(|(peer, _)| peer),
            "peer_value": self.peer.map(|(_, value)| value.json()),
            "ratio": self.ratio().map(Amount::json),
            "goal": self.goal.map(Amount::json),
            "met": self.met(),
        })
    }
}

/// A table for people.
pub(crate) fn table(title: &str, figures: &[Figure]) -> String {
    let mut text = format!(
        "\n### {title}\n\n| figure | value | unit | beside | its value | ratio | goal |\n\
         | --- | ---: | --- | --- | ---: | ---: | ---: |\n"
    );
    for figure in figures {
        let number = |amount: Option<Amount>| amount.map(Amount::text).unwrap_or_default();
        let late = if figure.met() == Some(false) { " (missed)" } else { "" };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {}{late} |\n",
            say::printable(&figure.name),
            figure.value.text(),
            figure.unit,
            figure.peer.map_or("", |(peer, _)| peer),
            number(figure.peer.map(|(_, value)| value)),
            number(figure.ratio()),
            number(figure.goal),
        ));
    }
    text
}

/// The unit of what is counted.
pub(crate) const INSTRUCTIONS: &str = "instructions";

#[cfg(test)]
mod tests {
    use super::{Amount, Figure};
    use serde_json::json;

    #[test]
    fn a_figure_says_what_it_is_beside_whom_and_whether_the_goal_is_met() {
        let figure = Figure::instructions("idle/version", 1313)
            .beside("an empty partition", Amount::whole(1198))
            .goal(Some(Amount::whole(1312)));
        let expected = json!({
            "name": "idle/version", "unit": "instructions", "value": 1313,
            "peer": "an empty partition", "peer_value": 1198, "ratio": 1.095,
            "goal": 1312, "met": false,
        });
        assert_eq!(figure.json(), expected);
        let alone = Figure::bytes("size/code", 7).json();
        assert!(
            ["peer", "peer_value", "ratio", "goal", "met"].iter().all(|key| alone[*key].is_null())
        );
        assert_eq!(Figure::bytes("x", 0).beside("y", Amount::whole(0)).ratio(), None);
    }

    #[test]
    fn amounts_are_written_for_people_and_for_programs() {
        let amount = Amount::of(1_234_567, 100).expect("a number");
        assert_eq!((amount.text().as_str(), amount.json()), ("12,345.670", json!(12_345.67)));
        assert_eq!((Amount::whole(999).text().as_str(), Amount::of(1, 0)), ("999", None));
        assert_eq!(Amount::of(1, 50).expect("a number").text(), "0.020");
    }
}
