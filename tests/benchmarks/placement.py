# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placement: 1,000 VMs over 20 sites of 20 hypervisors as a whole process, and how good 50 VMs over 8 sites are placed.

The peer of the second is OR-tools' CP-SAT, which is given the same rules and the same scores as a model of integers, our answer
to begin with, and CP_SAT_SECONDS (60) to find a better one. Both answers are scored by the same code, which also checks that the peer breaks no rule.
Both questions are drawn from a fixed seed, so that they are the same on every machine. No site is contacted.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import date
from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.placement.needs import Compiler
from ansible_collections.virt8ra.federation.plugins.module_utils.placement.occupancy import Occupancy
from ansible_collections.virt8ra.federation.plugins.module_utils.placement.placing import Question, place

from .bench import Lab, Row, median, repeats, run_whole

GIB = 2**30
TODAY = date(2026, 11, 25)
COUNTRIES = ("ES", "DE", "FR", "IT", "NL", "PL")
# CP-SAT counts in whole numbers: a score of 1 is so many.
SCALE = 10_000


def run(_lab: Lab) -> list[Row]:
    """Three rows: seconds, memory, quality."""
    measured = []
    for _repeat in range(repeats()):
        measured.append(run_whole([sys.executable, "-m", __name__, "1000", "20", "20"], {}))
        print(f"    1,000 VMs: {measured[-1].seconds:.2f} s, {measured[-1].memory:.0f} MiB", flush=True)
    whole = median(measured)
    question = draw(50, 8, 2)
    ours = place(question)
    if not ours.found:
        raise RuntimeError(ours.sentence())
    peer = scored(question, best_of_cp_sat(question, ours.assignment()))
    print(f"    50 VMs: ours {ours.score():.4f}, CP-SAT {peer:.4f}", flush=True)
    return [
        Row("placement of 1,000 VMs on 20 x 20 hypervisors, whole process, s", whole.seconds, 2.0, whole.seconds, 2.0, True),
        Row("placement of 1,000 VMs on 20 x 20 hypervisors, MiB", whole.memory, 200.0, whole.memory, 200.0, True),
        Row("placement of 50 VMs on 8 sites, score over CP-SAT's", ours.score(), peer, ours.score() / peer, 0.95),
    ]


def draw(vms: int, sites: int, hypervisors: int, seed: int = 8) -> Question:
    """A question with all kinds of wishes and most kinds of rules, in which some of the capacity is used already."""
    dice = random.Random(seed)
    names = [f"site{number:02}" for number in range(sites)]
    facts = {f"{site}-{number:02}": _facts(dice) for site in names for number in range(hypervisors)}
    described = [_site(dice, number, name, hypervisors) for number, name in enumerate(names)]
    latencies = [
        {
            "source": one,
            "target": other,
            "median_ms": round(dice.uniform(2, 60), 2),
            "samples": 5,
            "measured_at": "2026-11-25T10:00:00Z",
        }
        for number, one in enumerate(names)
        for other in names[:number]
    ]
    specs = [_vm(dice, number, names) for number in range(vms)]
    return Question.read(described, facts, specs, TODAY, latencies=latencies)


def _site(dice: random.Random, number: int, name: str, hypervisors: int) -> dict[str, Any]:
    return {
        "name": name,
        "provider": f"provider{number % 5}",
        "country": COUNTRIES[number % len(COUNTRIES)],
        "latitude": dice.uniform(36, 54),
        "longitude": dice.uniform(-8, 20),
        "storage": {"ssd": "vms"},
        "networks": {"public": "br0"},
        "cpu_price": round(dice.uniform(0.01, 0.05), 3),
        "memory_price": 0.004,
        "energy": round(dice.uniform(4, 20), 1),
        "attestations": [{"claim": "ISO 27001"}] if number % 3 else [],
        "hypervisors": [{"name": f"{name}-{one:02}"} for one in range(hypervisors)],
    }


def _facts(dice: random.Random) -> dict[str, Any]:
    capacity = {"cpus": 16, "cpus_used": dice.randint(0, 30), "memory": 96 * GIB, "memory_used": dice.randint(0, 48) * GIB}
    return {
        "capacity": {**capacity, "memory_free": 96 * GIB},
        "cpu": {"models": ["EPYC", "Nehalem"], "most_cpus": 288, "uefi": True},
        "machine_types": ["pc-q35-7.2"],
        "pools": [{"name": "vms", "storage": ["ssd"], "active": True, "free": 4000 * GIB}],
        "networks": [{"name": "br0", "networks": ["public"], "active": True}],
    }


def _vm(dice: random.Random, number: int, sites: list[str]) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "weights": {
            "spread": 1,
            "price": dice.choice((0, 1, 3)),
            "energy": dice.choice((0, 1)),
            "round_trip": dice.choice((1, 3)),
            "provider_diversity": 0.5,
        },
        "round_trips": [{"site": dice.choice(sites), "max_ms": dice.choice((45, 60, 80))}],
    }
    if number % 3 == 0:
        policy["anti_affinity"] = [{"group": f"group{number // 9}", "level": dice.choice(("hypervisor", "site"))}]
    if number % 4 == 0:
        policy["certifications"] = ["ISO 27001"]
    return {
        "name": f"vm{number:04}",
        "cpus": dice.choice((1, 2, 4, 8)),
        "memory": dice.choice((4, 8, 16, 24)) * GIB,
        "disks": [{"name": "vda", "size": 20 * GIB, "storage": "ssd"}],
        "nics": [{"network": "public"}],
        "allowed_countries": dice.sample(COUNTRIES, 4) if dice.random() < 0.4 else [],
        "placement": policy,
    }


def scored(question: Question, assignment: dict[str, str]) -> float:
    """By the code that scores ours; RuntimeError when it breaks a rule."""
    check = Question(
        question.sites, question.places, question.vms, question.present, question.reaches, question.today, at=assignment
    )
    held = place(check)
    if not held.found:
        raise RuntimeError(f"the peer's answer breaks a rule: {held.sentence()}")
    return held.score()


def best_of_cp_sat(question: Question, begin: dict[str, str]) -> dict[str, str]:
    """The best assignment that it finds in its time, from one that there is."""
    from ortools.sat.python import cp_model

    compiler = Compiler(question.places, question.reaches, question.today)
    needs = compiler.compile(question.vms, ())
    world = Occupancy(question.places, needs, question.reaches, compiler.wishes)
    model = cp_model.CpModel()
    at = {(need.number, here): model.new_bool_var("") for need in needs for here in need.allowed}
    for need in needs:
        model.add_exactly_one(at[need.number, here] for here in need.allowed)
    for (number, here), variable in at.items():
        model.add_hint(variable, int(begin[needs[number].name] == question.places[here].hypervisor))
    for here in range(len(question.places)):
        mine = [need for need in needs if (need.number, here) in at]
        model.add(sum(need.vm.cpus * at[need.number, here] for need in mine) <= world.cpus[here])
        model.add(sum(need.vm.memory // GIB * at[need.number, here] for need in mine) <= world.memory[here] // GIB)
    _keep_apart(model, world, at)
    cost = [round(SCALE * need.cost[here]) * at[need.number, here] for need in needs for here in need.allowed]
    model.minimize(SCALE * sum(cost) + sum(_spread(model, world, at)) + sum(_diversity(model, world, at)))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = float(os.environ.get("CP_SAT_SECONDS", "60"))
    solver.parameters.random_seed = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise RuntimeError(f"CP-SAT found nothing: {solver.status_name(status)}")
    print(f"    CP-SAT: {solver.status_name(status)}, within {_gap(solver):.2%} of its own bound", flush=True)
    return {
        needs[number].name: question.places[here].hypervisor for (number, here), variable in at.items() if solver.value(variable)
    }


def _gap(solver: Any) -> float:
    return float((solver.objective_value - solver.best_objective_bound) / max(1.0, solver.objective_value))


def _keep_apart(model: Any, world: Occupancy, at: dict[tuple[int, int], Any]) -> None:
    """One VM that is to be apart excludes every other of its group from the same place at that level."""
    for need in world.needs:
        for circle in need.apart:
            for other in world.needs:
                if other is not need and circle in other.circles:
                    for here, keys in enumerate(world.keys):
                        for there, other_keys in enumerate(world.keys):
                            pair = (need.number, here), (other.number, there)
                            if keys[circle[0]] == other_keys[circle[0]] and pair[0] in at and pair[1] in at:
                                model.add_at_most_one(at[pair[0]], at[pair[1]])


def _spread(model: Any, world: Occupancy, at: dict[tuple[int, int], Any]) -> list[Any]:
    """The weights at each place times what is used of it, as the scores have it."""
    products = []
    for here in range(len(world.places)):
        mine = [need for need in world.needs if (need.number, here) in at]
        weight = sum(round(SCALE * need.spread) * at[need.number, here] for need in mine)
        used = round(SCALE * world.used[here])
        for need in mine:
            part = need.vm.cpus * world.cpu_part[here] + need.vm.memory * world.memory_part[here]
            used = used + round(SCALE * part) * at[need.number, here]
        products.append(_product(model, weight, len(world.needs) * SCALE, used, 4 * SCALE))
    return products


def _diversity(model: Any, world: Occupancy, at: dict[tuple[int, int], Any]) -> list[Any]:
    products = []
    for provider in range(len(world.vms_of)):
        mine = [(number, here) for number, here in at if world.provider[here] == provider]
        weight = sum(round(SCALE * world.needs[number].diversity) * at[number, here] for number, here in mine)
        share = sum(round(SCALE / world.total) * at[number, here] for number, here in mine)
        products.append(_product(model, weight, world.total * SCALE, share, 2 * SCALE))
    return products


def _product(model: Any, one: Any, most: int, other: Any, other_most: int) -> Any:
    factors = model.new_int_var(0, most, ""), model.new_int_var(0, other_most, "")
    model.add(factors[0] == one)
    model.add(factors[1] == other)
    product = model.new_int_var(0, most * other_most, "")
    model.add_multiplication_equality(product, list(factors))
    return product


if __name__ == "__main__":
    answer = place(draw(*(int(argument) for argument in sys.argv[1:4])))
    answer.rankings(5)
    sys.exit(answer.sentence() or 0)
