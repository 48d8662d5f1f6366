"""Trust, looked after: recommendations, government PKI, health, compliance (fields.md; section 9)."""

import re
from typing import Annotated, Literal, TypeAlias

from norc_actors.limits import MAX_EXCHANGE_ENTRIES
from norc_actors.protocol.schema import Bound, FreeMap, Map, Message, Pattern, Seconds, Server, Signature, Uuid

from .message import Classification
from .trust_decision import Conditions
from .vocabulary import Name, Percent, Period, Remark, Remarks, TrustLevel, Word

Oid: TypeAlias = Annotated[str, Bound(3, 601), Pattern("OID", re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,18})){1,30}"))]


class TrustRecommendation(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_recommendation"):
    """Asks a third server what it thinks of one."""

    request_id: Uuid
    requesting_server: Server
    target_server: Server
    recommender_server: Server
    recommendation_level: TrustLevel
    context: Remark
    timestamp: Seconds
    signature: Signature


class TrustRecommendationResponse(
    Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_recommendation_response"
):
    """What it thinks, how surely and until when."""

    request_id: Uuid
    recommendation: Literal["positive", "negative", "neutral", "declined"]
    confidence_level: Literal["low", "medium", "high"]
    recommended_trust_level: TrustLevel
    conditions: Conditions
    recommendation_expires: Seconds
    timestamp: Seconds
    signature: Signature


class CrossDomainRequirement(Map, frozen=True, kw_only=True, omit_defaults=True):
    """How content may pass from one classification to another."""

    classification_from: Classification
    classification_to: Classification
    guard_system: Name
    accreditation: Name


class GovPkiTrustRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="gov_pki_trust_request"):
    """Asks for trust by a government's PKI."""

    requesting_server: Server
    target_server: Server
    security_clearance: Name
    pki_hierarchy: Name
    certificate_policy_oid: Oid
    sponsor_agency: Name
    facility_security_clearance: Name
    cross_domain_requirements: Annotated[tuple[CrossDomainRequirement, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
    timestamp: Seconds
    signature: Signature


class NatoRecord(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What a relation of level `nato` rests on; it is kept by the operator and sent to nobody by itself."""

    classification_level: Classification
    security_agreement: Name
    facility_clearance: Name
    cryptographic_approval: Name
    tempest_certification: Name
    comsec_approval: Name


class TrustHealthCheck(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_health_check"):
    """Asks how a relation of trust fares; `assessment_period` is how far back to look."""

    monitoring_server: Server
    target_server: Server
    check_parameters: FreeMap
    assessment_period: Seconds
    timestamp: Seconds
    signature: Signature


class RiskFactor(Map, frozen=True, kw_only=True, omit_defaults=True):
    """Something that may end a relation, and when."""

    risk_type: Word
    severity: Word
    time_to_impact: Seconds
    mitigation: Remark


class TrustHealthReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="trust_health_report"):
    """How it fares; the metrics are whole numbers under names of the reporter's choice."""

    overall_trust_score: Percent
    health_metrics: FreeMap
    risk_factors: Annotated[tuple[RiskFactor, ...], Bound(0, MAX_EXCHANGE_ENTRIES)]
    recommendations: Remarks
    next_assessment: Seconds
    timestamp: Seconds
    signature: Signature


class ComplianceReport(Message, frozen=True, kw_only=True, omit_defaults=True, tag="compliance_report"):
    """Asks for a report of compliance over a period."""

    report_id: Uuid
    requesting_authority: Name
    target_server: Server
    compliance_standard: Word
    report_period: Period
    report_scope: tuple[
        Literal[
            "trust_establishment", "key_management", "certificate_lifecycle", "access_controls", "incident_response"
        ],
        ...,
    ]
    evidence_required: bool
    timestamp: Seconds
    signature: Signature


class AssessmentResult(Map, frozen=True, kw_only=True, omit_defaults=True):
    """What was found about one control."""

    control_id: Word
    control_name: Name
    status: Word
    evidence: Remark
    last_tested: Seconds


class ComplianceReportResponse(
    Message, frozen=True, kw_only=True, omit_defaults=True, tag="compliance_report_response"
):
    """The report."""

    report_id: Uuid
    compliance_status: Word
    compliance_score: Percent
    assessment_results: Annotated[tuple[AssessmentResult, ...], Bound(0, 1024)]
    findings: Remarks
    timestamp: Seconds
    signature: Signature
