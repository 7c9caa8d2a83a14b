// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What `vmtp top` shows: rates above, one table below, in a terminal of 80 by 24 or larger; and as
//! text for `--batch`. No keys, no time.

use std::time::Duration;

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use ratatui::Frame;

use super::view::{short, Cell, Pane, Sorting, View};

/// What is shown of a view, and how.
pub(super) struct Screen {
    pub(super) pane: Pane,
    sortings: [Sorting; Pane::ALL.len()],
    /// The first row that is shown.
    pub(super) first: usize,
    pub(super) interval: Duration,
    pub(super) paused: bool,
    pub(super) help: bool,
}

const KEYS: &[(&str, &str)] = &[
    ("q Esc Ctrl-C", "end"),
    ("Tab 1 2 3 4", "next table, or this one"),
    ("Up Down PgUp PgDn Home End", "walk in the table"),
    ("< >", "sort by the column to the left, to the right"),
    ("r", "the other way round"),
    ("Space", "pause, and go on"),
    ("+ -", "longer, shorter interval"),
    ("h ?", "this help; any key ends it"),
];

impl Screen {
    pub(super) fn new(interval: Duration) -> Screen {
        Screen {
            pane: Pane::Entities,
            sortings: Pane::ALL.map(Sorting::usual),
            first: 0,
            interval,
            paused: false,
            help: false,
        }
    }

    pub(super) fn sorting(&self, pane: Pane) -> Sorting {
        self.sortings[pane as usize]
    }

    pub(super) fn sorting_mut(&mut self, pane: Pane) -> &mut Sorting {
        &mut self.sortings[pane as usize]
    }

    /// Draws it. `first` is moved where there are rows.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, view: &View) {
        let [head, table, foot] = Layout::vertical([
            Constraint::Length(8),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let mut lines = vec![self.title(view, head.width)];
        lines.extend(rates(view).into_iter().map(Line::from));
        lines.push(self.tabs(view));
        frame.render_widget(Paragraph::new(lines), head);
        self.draw_table(frame, table, view);
        frame.render_widget(Paragraph::new(self.foot(view, table)), foot);
        if self.help {
            draw_help(frame);
        }
    }

    fn title(&self, view: &View, width: u16) -> Line<'static> {
        let state = if self.paused {
            Span::from("  paused").bold().reversed()
        } else {
            Span::from(format!("  every {}", plain_seconds(self.interval)))
        };
        let right = totals(view);
        let left = "vmtp top".len() + state.content.len();
        let gap = usize::from(width).saturating_sub(left + right.len()).max(2);
        Line::from(vec![
            "vmtp top".bold(),
            state,
            " ".repeat(gap).into(),
            right.into(),
        ])
    }

    fn tabs(&self, view: &View) -> Line<'static> {
        let tab = |(index, pane): (usize, Pane)| {
            let text = format!(" {} {} ({}) ", index + 1, pane.title(), view.len(pane));
            if pane == self.pane {
                Span::from(text).reversed().bold()
            } else {
                Span::from(text)
            }
        };
        Line::from(
            Pane::ALL
                .into_iter()
                .enumerate()
                .map(tab)
                .collect::<Vec<_>>(),
        )
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect, view: &View) {
        let room = usize::from(area.height.saturating_sub(1));
        let rows = view.rows(self.pane, self.sorting(self.pane));
        self.first = self.first.min(rows.len().saturating_sub(room));
        // All rows, so that columns do not move while one walks in them.
        let text = aligned(self.pane, &rows).into_iter().enumerate();
        let text =
            text.filter(|(row, _)| *row == 0 || (self.first + 1..=self.first + room).contains(row));
        let sorted = self.sorting(self.pane).column;
        let lines = text.map(|(row, cells)| {
            let spans = cells.into_iter().enumerate().map(|(column, cell)| {
                let style = match row {
                    0 if Some(column) == sorted => {
                        Style::from(Modifier::BOLD | Modifier::UNDERLINED)
                    }
                    0 => Style::from(Modifier::BOLD),
                    _ => Style::new(),
                };
                [Span::styled(cell, style), "  ".into()]
            });
            Line::from(spans.flatten().collect::<Vec<_>>())
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
    }

    fn foot(&self, view: &View, table: Rect) -> Line<'static> {
        let room = usize::from(table.height.saturating_sub(1));
        let rows = view.len(self.pane);
        let mut text = "q end  Tab table  < > sort  r reverse  Space pause  h help".to_string();
        if rows > room {
            let last = rows.min(self.first + room);
            text.push_str(&format!("  {}-{last} of {rows}", self.first + 1));
        }
        Line::from(text).dim()
    }

    /// All of it as text, however long.
    pub(super) fn text(&self, view: &View) -> String {
        let mut text = format!("vmtp top  {}\n", totals(view));
        for line in rates(view) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for pane in Pane::ALL {
            text.push_str(&format!("\n{} ({})\n", pane.title(), view.len(pane)));
            for cells in aligned(pane, &view.rows(pane, self.sorting(pane))) {
                text.push_str(cells.join("  ").trim_end());
                text.push('\n');
            }
        }
        text
    }
}

fn totals(view: &View) -> String {
    let many = |pane, one: &str, many: &str| match view.len(pane) {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    [
        many(Pane::Entities, "entity", "entities"),
        many(Pane::Transactions, "remote client", "remote clients"),
        many(Pane::Hosts, "host", "hosts"),
    ]
    .join("  ")
}

/// Six lines of what happens a second.
fn rates(view: &View) -> Vec<String> {
    let rate = |counter: &str| view.rate(counter).map_or("-".into(), short);
    let way = |name: &str, counters: [&str; 4]| {
        let [a, b, c, d] = counters.map(rate);
        format!("{name:<16}{a:>12}{b:>12}{c:>12}{d:>12}")
    };
    let happened = |name: &str, counters: &[(&str, &str)]| {
        let counted = counters
            .iter()
            .map(|(name, counter)| format!("{} {name}", rate(counter)));
        format!("{name:<16}{}", counted.collect::<Vec<_>>().join(", "))
    };
    let drops = view
        .drops()
        .into_iter()
        .map(|(reason, rate)| format!("{} {reason}", short(rate)));
    let drops: Vec<_> = match view.interval {
        Some(_) => drops.collect(),
        None => vec!["-".into()],
    };
    vec![
        format!(
            "{:<16}{:>12}{:>12}{:>12}{:>12}",
            "per second", "packets", "octets", "notifies", "probes"
        ),
        way("in", ["InPackets", "InOctets", "InNotifies", "InProbes"]),
        way(
            "out",
            ["OutPackets", "OutOctets", "OutNotifies", "OutProbes"],
        ),
        happened(
            "transactions",
            &[
                ("started", "TransactionsStarted"),
                ("answered", "TransactionsAnswered"),
                ("failed", "TransactionsFailed"),
                ("served", "ResponsesSent"),
            ],
        ),
        happened(
            "sent again",
            &[
                ("retransmissions", "Retransmissions"),
                ("timeouts", "Timeouts"),
                ("not sent", "OutErrors"),
            ],
        ),
        format!(
            "{:<16}{}",
            "dropped",
            if drops.is_empty() {
                "0".into()
            } else {
                drops.join(", ")
            }
        ),
    ]
}

/// The header and rows with every column as wide as its widest text: names at the left of it,
/// numbers at the right.
fn aligned(pane: Pane, rows: &[Vec<Cell>]) -> Vec<Vec<String>> {
    let header: Vec<String> = pane.columns().iter().map(|name| name.to_string()).collect();
    let is_text: Vec<bool> = (0..header.len())
        .map(|column| {
            let texts = rows.iter().filter_map(|row| row.get(column));
            column == 0 || texts.clone().any(|cell| matches!(cell, Cell::Text(_)))
        })
        .collect();
    let mut text = vec![header];
    text.extend(rows.iter().map(|row| row.iter().map(Cell::text).collect()));
    let mut widths = vec![0; is_text.len()];
    for row in &text {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &mut text {
        for ((cell, width), is_text) in row.iter_mut().zip(&widths).zip(&is_text) {
            *cell = if *is_text {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            };
        }
    }
    text
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![format!("{key:<28}").bold(), (*what).into()]))
        .collect();
    let height = (lines.len() as u16).min(area.height.saturating_sub(8));
    let area = Rect::new(0, 8.min(area.height), area.width, height);
    frame.render_widget(
        Clear,
        Rect {
            height: frame.area().height.saturating_sub(8),
            ..area
        },
    );
    frame.render_widget(Paragraph::new(lines), area);
}

/// `1 s`, `0.5 s`.
fn plain_seconds(time: Duration) -> String {
    format!("{} s", (time.as_secs_f64() * 10.0).round() / 10.0)
}
