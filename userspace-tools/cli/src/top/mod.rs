// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `vmtp top`: the entities, transactions, hosts and rates of this host, again and again.
//!
//! `sample` looks, `view` compares two looks, `screen` shows. Here: when to look, and what keys do.

mod sample;
mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use rustix::process::{getpid, kill_process, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::args::{self, INTERVALS};
use crate::output;
use sample::Sample;
use screen::Screen;
use view::{Pane, View};

/// How long a signal may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) fn run(top: args::Top, proc_root: PathBuf, json: bool) -> Result<bool> {
    let mut screen = Screen::new(top.interval);
    sort(&mut screen, top.sort.as_deref(), top.reverse)?;
    if top.batch || json {
        return print(&screen, top.count, &proc_root, json);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("this is no terminal: use --batch or --json");
    }
    // Looked at before the terminal is taken over: an error stays to be read.
    let sample = Sample::take(&proc_root)?;
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .context("signals cannot be caught")?;
    }
    let mut top = Top {
        proc_root,
        screen,
        view: View::new(None, &sample),
        sample,
        page: 0,
    };
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let result = top.watch(&mut terminal, &ended);
    // Nothing can be done about a terminal that is gone.
    let _ = ratatui::try_restore();
    result.map(|()| true)
}

fn sort(screen: &mut Screen, column: Option<&str>, reverse: bool) -> Result<()> {
    let mut found = column.is_none();
    for pane in Pane::ALL {
        let mut names = pane.columns().iter();
        let sorting = screen.sorting_mut(pane);
        sorting.reverse = reverse;
        let index = column.and_then(|column| names.position(|n| n.eq_ignore_ascii_case(column)));
        if index.is_some() {
            sorting.column = index;
            found = true;
        }
    }
    if !found {
        let mut names: Vec<_> = Pane::ALL.iter().flat_map(|pane| pane.columns()).collect();
        names.sort_unstable();
        names.dedup();
        let names: Vec<_> = names.into_iter().copied().collect();
        bail!(
            "there is no such column to sort by; there are {}",
            names.join(", ")
        );
    }
    Ok(())
}

fn print(screen: &Screen, count: u64, proc_root: &Path, json: bool) -> Result<bool> {
    let mut before = Sample::take(proc_root)?;
    for number in 0..count {
        sleep(screen.interval);
        let now = Sample::take(proc_root)?;
        let view = View::new(Some(&before), &now);
        if json {
            output::line(&view.json(|pane| screen.sorting(pane)).to_string())?;
        } else {
            let gap = if number > 0 { "\n" } else { "" };
            output::line(format!("{gap}{}", screen.text(&view)).trim_end_matches('\n'))?;
        }
        before = now;
    }
    Ok(true)
}

/// What a key asks for beyond a change of what is shown.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    End,
    Suspend,
}

struct Top {
    proc_root: PathBuf,
    screen: Screen,
    sample: Sample,
    view: View,
    /// How many rows of a table there is room for.
    page: usize,
}

impl Top {
    fn watch(&mut self, terminal: &mut DefaultTerminal, ended: &AtomicBool) -> Result<()> {
        let mut next = self.sample.time + self.screen.interval;
        let mut changed = true;
        while !ended.load(Ordering::Relaxed) {
            if changed {
                self.page = usize::from(terminal.size()?.height.saturating_sub(10));
                terminal.draw(|frame| self.screen.draw(frame, &self.view))?;
            }
            let wait = if self.screen.paused {
                PATIENCE
            } else {
                next.saturating_duration_since(Instant::now()).min(PATIENCE)
            };
            changed = polled(wait)?;
            if changed {
                // A new size is an event too: it is drawn at once.
                if let Event::Key(key) = event::read()? {
                    match self.key(key) {
                        Asked::End => return Ok(()),
                        Asked::Suspend => suspend(terminal)?,
                        Asked::Nothing => {}
                    }
                }
                next = next.min(Instant::now() + self.screen.interval);
            }
            if !self.screen.paused && Instant::now() >= next {
                let now = Sample::take(&self.proc_root)?;
                self.view = View::new(Some(&self.sample), &now);
                next = now.time + self.screen.interval;
                self.sample = now;
                changed = true;
            }
        }
        Ok(())
    }

    fn key(&mut self, key: KeyEvent) -> Asked {
        if key.kind == KeyEventKind::Release {
            return Asked::Nothing;
        }
        let screen = &mut self.screen;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Asked::End,
                KeyCode::Char('z') => Asked::Suspend,
                _ => Asked::Nothing,
            };
        }
        if screen.help && key.code != KeyCode::Char('q') {
            screen.help = false;
            return Asked::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Asked::End,
            KeyCode::Char('h' | '?') => screen.help = true,
            KeyCode::Char(' ') => screen.paused = !screen.paused,
            KeyCode::Char('+') => screen.interval = (screen.interval * 2).min(*INTERVALS.end()),
            KeyCode::Char('-') => screen.interval = (screen.interval / 2).max(*INTERVALS.start()),
            KeyCode::Char('<') => sort_by_next(screen, -1),
            KeyCode::Char('>') => sort_by_next(screen, 1),
            KeyCode::Char('r') => screen.sorting_mut(screen.pane).reverse ^= true,
            KeyCode::Tab => show(screen, screen.pane as usize + 1),
            KeyCode::BackTab => show(screen, screen.pane as usize + Pane::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='4') => show(screen, digit as usize - '1' as usize),
            KeyCode::Up | KeyCode::Char('k') => screen.first = screen.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => screen.first = screen.first.saturating_add(1),
            KeyCode::PageUp => screen.first = screen.first.saturating_sub(self.page),
            KeyCode::PageDown => screen.first = screen.first.saturating_add(self.page),
            KeyCode::Home => screen.first = 0,
            KeyCode::End => screen.first = usize::MAX,
            _ => {}
        }
        Asked::Nothing
    }
}

/// Whether there is an event within a time. A signal is none.
fn polled(wait: Duration) -> Result<bool> {
    match event::poll(wait) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        result => Ok(result?),
    }
}

fn show(screen: &mut Screen, number: usize) {
    screen.pane = Pane::ALL[number % Pane::ALL.len()];
    screen.first = 0;
}

fn sort_by_next(screen: &mut Screen, step: isize) {
    let columns = screen.pane.columns().len();
    let sorting = screen.sorting_mut(screen.pane);
    sorting.column = match sorting.column {
        Some(column) => Some(column.saturating_add_signed(step).min(columns - 1)),
        None => Some(0),
    };
}

/// Ctrl-Z: the shell has the terminal until it continues us.
fn suspend(terminal: &mut DefaultTerminal) -> Result<()> {
    ratatui::try_restore()?;
    kill_process(getpid(), Signal::TSTP)?;
    *terminal = ratatui::try_init()?;
    Ok(())
}
