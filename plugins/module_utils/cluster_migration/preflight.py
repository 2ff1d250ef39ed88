# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""May these workloads go there? Pure: a survey of the source and facts of the target in; blockers, warnings, steps, estimate out."""

from __future__ import annotations

from collections.abc import Sequence

from ..migration.plan import Blocker
from ..sizes import show_size
from .cautions import warnings
from .estimate import Measured, estimate
from .obstacles import blockers
from .plan import Plan
from .request import Request
from .scope import Context
from .survey import Survey, Totals
from .target_facts import TargetFacts

_REASON = "both clusters are known by their API servers, which is all that workloads needs"


def plan(
    request: Request,
    survey: Survey,
    target: TargetFacts,
    *,
    measured: Measured | None = None,
    found: Sequence[str] = (),
    begun: bool = False,
    reason: str = "",
) -> Plan:
    """The plan; it may be carried out only when it has no blockers.

    :param measured: rates, for times in the estimate; without them it tells bytes only
    :param found: sentences of what else stands in the way: verbs that are forbidden, objects of somebody else
    :param begun: the migration is under way, so that some of what the target has is its own; what counts that is not judged again
    :param reason: why method auto took workloads
    """
    context = survey.context(target)
    totals = survey.totals(context)
    stopped = [Blocker("target", sentence) for sentence in found]
    told = estimate(
        sum(totals.objects.values()),
        sum(volume.bytes for volume in survey.volumes if volume.bound),
        measured or Measured(),
        verify=request.verify_digests,
    )
    return Plan(
        source=survey.source.name,
        target=target.name,
        namespaces=survey.namespaces,
        blockers=(*blockers(request, survey, target, context, totals, begun=begun), *stopped),
        warnings=tuple(warnings(request, survey, target, context, totals)),
        steps=tuple(_steps(survey, target, context, totals)),
        objects=dict(sorted(totals.objects.items())),
        cleaned=dict(sorted(totals.cleaned.items())),
        mapped=dict(sorted(totals.mapped.items())),
        left=dict(sorted(totals.left.items())),
        volumes=tuple(sorted(survey.volumes, key=lambda volume: (volume.namespace, volume.claim))),
        estimate=told.to_dict(),
        method="workloads",
        reason=reason or (_REASON if request.method == "auto" else "it was asked for"),
    )


def _steps(survey: Survey, target: TargetFacts, context: Context, totals: Totals) -> list[str]:
    source, name = survey.source.name, target.name
    with_data = [volume for volume in survey.volumes if volume.bound]
    size = show_size(sum(volume.bytes for volume in with_data))
    steps = []
    if context.definitions:
        steps.append(f"define {len(context.definitions)} custom resource(s) at {name} and wait until they are established")
    steps.append(f"apply {sum(totals.objects.values())} objects at {name}, where nothing of them runs yet")
    if with_data:
        steps.append(f"copy the data of {len(with_data)} claim(s), up to {size}, while the application runs at {source}")
    steps.append(f"put the application to rest at {source}: CronJobs suspended, workloads at zero, replica counts remembered")
    if with_data:
        compared = ", and compare the digests of all files" if survey.request.verify_digests else ""
        steps.append(f"copy what changed since{compared}")
    steps.append(f"fence {source}, so that nothing starts there again")
    steps.append(f"start the application at {name} and wait until as much is ready as was at {source}")
    if any(kind.endswith("WebhookConfiguration") for kind in totals.objects):
        steps.append(f"apply the webhooks at {name}, once what answers them runs")
    steps.append(f"keep all of it at rest at {source} until it is released")
    return steps
