"""Options of optimizers and schedules, read off what they declare."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from dataclasses import Field

    from selfstab.optimizers.base import Optimizer
    from selfstab.optimizers.schedules import Schedule


_DEFAULT: Final = "HeavyBall"


class OptimizerCommand(click.Command):
    """A command with an option for each number of every optimizer, and each word of every schedule.

    They are looked up when the command is parsed, so that optimizers defined since are among them.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters; those of optimizers stand behind --lr."""
        from selfstab.optimizers.registry import registered

        known = super().get_params(ctx)
        place = next((k + 1 for k, p in enumerate(known) if p.name == "lr"), len(known))
        return [*known[:place], *_options(tuple(registered().items())), *known[place:]]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: those of every optimizer, then each optimizer's own under its name, the default first."""
        from selfstab.optimizers.registry import registered

        kinds = registered()
        options_of = {name: _words_of(kind) for name, kind in kinds.items()}
        own = set().union(*options_of.values())
        shared = [p for p in self.get_params(ctx) if isinstance(p, click.Option) and p.name not in own]
        records = [record for parameter in shared if (record := parameter.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(records)
        for name in sorted(kinds, key=lambda name: name != _DEFAULT):
            if not options_of[name]:
                continue
            heading = f"Options of {name}" + (
                ", the default" if name == _DEFAULT else f" (--optimizer {name})"
            )
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{_dashed(option)} VALUE", text) for option, text in options_of[name].items()]
                )


@cache
def _options(kinds: tuple[tuple[str, type[Optimizer]], ...]) -> list[click.Option]:
    from selfstab.optimizers.schedules import SCHEDULES

    names = [name for name, _ in kinds]
    out = [
        click.Option(
            ["--optimizer"],
            metavar="NAME",
            default=_DEFAULT,
            show_default=True,
            help=", ".join(names) + ".",
        )
    ]
    helps: dict[str, list[str]] = {}
    for name, kind in kinds:
        for setting, text in _words_of(kind).items():
            helps.setdefault(setting, []).append(text if len(kinds) == 1 else f"{name}: {text}")
    out += [
        click.Option([_dashed(setting)], metavar="VALUE", help=" ".join(texts))
        for setting, texts in helps.items()
    ]
    for schedule in SCHEDULES.values():
        out += [
            click.Option([_dashed(name)], type=float, metavar=word.metavar, help=word.help)
            for name, word in schedule.words.items()
        ]
    return out


def _words_of(kind: type[Optimizer]) -> dict[str, str]:
    """Return the help of an optimizer's options by field."""
    from dataclasses import MISSING, fields

    out = {}
    for known in fields(kind):
        if known.name == "lr":
            continue
        default = "" if known.default in (MISSING, None, "", ()) else f"  [default: {known.default}]"
        setting = kind.settings.get(known.name)
        if setting is not None:
            numbers = ", numbers such as 0,0.9" if setting.several else ""
            text = f"{setting.symbol or setting.long_name or known.name} {setting.interval}{numbers}."
        elif isinstance(known.default, bool):
            text = "true or false."
        elif (form := known.metadata.get("rule_field")) is not None:
            text = form.note
        else:
            continue
        out[_option(known)] = (
            text + (f" {setting.note}" if setting is not None and setting.note else "") + default
        )
    return out


def _option(known: Field[Any]) -> str:
    """Return the name of a field's option."""
    form = known.metadata.get("rule_field")
    return form.option or known.name if form is not None else known.name


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def optimizer_of(options: dict[str, Any], lr: float | None) -> Optimizer:
    """Return the optimizer that the options describe.

    Raises
    ------
    ValueError
        If there is no lr, an option is another optimizer's, or a number is missing or out of its range.
    """
    from dataclasses import MISSING, fields

    from selfstab.optimizers.registry import optimizer_named, registered

    kind = optimizer_named(options["optimizer"])
    if lr is None:
        raise ValueError("lr must be given")
    own = _words_of(kind)
    every = {name for other in registered().values() for name in _words_of(other)}
    options_used = {name: options[name] for name in every if options.get(name) is not None}
    if foreign := sorted(options_used.keys() - own.keys()):
        raise ValueError(
            f"{_dashed(foreign[0])} must be left out: it is no setting of {kind.__name__}, which has "
            f"{_listed(list(own))}"
        )
    for known in fields(kind):
        if _option(known) in own and known.default is MISSING and _option(known) not in options_used:
            raise ValueError(f"{_dashed(known.name)} must be given for {kind.__name__}")
    values = {
        known.name: _value(kind, known, options_used[_option(known)])
        for known in fields(kind)
        if _option(known) in options_used
    }
    return kind(_rate(options, lr), **values)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_dashed, names)) or "no numbers of its own"


def _value(kind: type[Optimizer], known: Field[Any], text: str) -> Any:
    from selfstab.losses.base.named_loss import number, numbers

    setting, form, name = (
        kind.settings.get(known.name),
        known.metadata.get("rule_field"),
        _dashed(_option(known)),
    )
    if form is not None:
        return form.read(name, text)
    if setting is None:
        if text not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, got {text!r}")
        return text == "true"
    return (numbers if setting.several else number)(name, text)


def _rate(options: dict[str, Any], lr: float) -> float | Schedule:
    """Return the learning rate, or the schedule that a word asks for."""
    from selfstab.optimizers.schedules import SCHEDULES

    for kind in SCHEDULES.values():
        first = next(iter(kind.words), None)
        values = {name: options[name] for name in kind.words if options.get(name) is not None}
        if not values or first is None:
            continue
        if first not in values:
            name, value = next(iter(values.items()))
            raise ValueError(
                f"{name.replace('_', '-')} must come with {first.replace('_', '-')}, got {value!r} alone"
            )
        words = {word.field: values.get(name, word.default) for name, word in kind.words.items()}
        schedule: Any = kind
        rate: Schedule = schedule(**{kind.final: lr}, **words)
        return rate
    return lr


def final_rates() -> list[str]:
    """Return the axes that set the number of a schedule that --lr sets."""
    from selfstab.optimizers.schedules import SCHEDULES

    return [f"lr.{kind.final}" for kind in SCHEDULES.values() if kind.final]
