// Package flowcontrol is all that the server knows of FlowSchemas and PriorityLevelConfigurations: defaults,
// validation, what kubectl prints, and those that every cluster has. It queues no requests.
package flowcontrol

import (
	"context"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kinds defines both.
func Kinds() []apiserver.Kind { return []apiserver.Kind{schemas(), levels()} }

func schemas() apiserver.Kind {
	return apiserver.Define[*flowcontrolv1.FlowSchema, *flowcontrolv1.FlowSchemaList](flowcontrolv1.SchemeGroupVersion,
		apiserver.Names{Kind: "FlowSchema", Resource: "flowschemas", Cluster: true},
		apiserver.Rules[*flowcontrolv1.FlowSchema]{
			Default:  DefaultSchema,
			Validate: func(_ context.Context, s *flowcontrolv1.FlowSchema) field.ErrorList { return validateSchema(s) },
			ValidateUpdate: func(_ context.Context, s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
				return validateSchema(s)
			},
			HasStatus: true,
			PrepareForStatus: func(_ context.Context, s, old *flowcontrolv1.FlowSchema) {
				s.ObjectMeta = keepMetadata(s.ObjectMeta, old.ObjectMeta)
			},
			ValidateStatusUpdate: func(_ context.Context, s, _ *flowcontrolv1.FlowSchema) field.ErrorList {
				return schemaStatus(s)
			},
			Columns: schemaColumns(),
			Cells:   schemaCells,
		})
}

func levels() apiserver.Kind {
	return apiserver.Define[*flowcontrolv1.PriorityLevelConfiguration, *flowcontrolv1.PriorityLevelConfigurationList](flowcontrolv1.SchemeGroupVersion,
		apiserver.Names{Kind: "PriorityLevelConfiguration", Resource: "prioritylevelconfigurations", Cluster: true},
		apiserver.Rules[*flowcontrolv1.PriorityLevelConfiguration]{
			Default: DefaultLevel,
			Validate: func(_ context.Context, p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
				return validateLevel(p)
			},
			ValidateUpdate: func(_ context.Context, p, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
				return validateLevel(p)
			},
			HasStatus: true,
			PrepareForStatus: func(_ context.Context, p, old *flowcontrolv1.PriorityLevelConfiguration) {
				p.ObjectMeta = keepMetadata(p.ObjectMeta, old.ObjectMeta)
			},
			ValidateStatusUpdate: func(_ context.Context, p, _ *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
				return levelStatus(p)
			},
			Columns: levelColumns(),
			Cells:   levelCells,
		})
}

// keepMetadata: a write of the status changes none, but for the record of who wrote what.
func keepMetadata(now, old metav1.ObjectMeta) metav1.ObjectMeta {
	old.ManagedFields = now.ManagedFields
	return old
}

// unset makes p point at value where it points nowhere.
func unset(p **int32, value int32) {
	if *p == nil {
		*p = &value
	}
}

// orElse sets p where it is zero.
func orElse(p *int32, value int32) {
	if *p == 0 {
		*p = value
	}
}

// DefaultSchema puts a schema in the middle of the order.
func DefaultSchema(s *flowcontrolv1.FlowSchema) { orElse(&s.Spec.MatchingPrecedence, 1000) }

// DefaultLevel fills shares, what is lent, and queues.
func DefaultLevel(p *flowcontrolv1.PriorityLevelConfiguration) {
	if e := p.Spec.Exempt; e != nil {
		unset(&e.NominalConcurrencyShares, 0)
		unset(&e.LendablePercent, 0)
	}
	l := p.Spec.Limited
	if l == nil {
		return
	}
	unset(&l.NominalConcurrencyShares, 30)
	unset(&l.LendablePercent, 0)
	if q := l.LimitResponse.Queuing; q != nil {
		orElse(&q.HandSize, 8)
		orElse(&q.Queues, 64)
		orElse(&q.QueueLengthLimit, 50)
	}
}

func schemaColumns() []metav1.TableColumnDefinition {
	doc := flowcontrolv1.FlowSchemaSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("PriorityLevel", flowcontrolv1.PriorityLevelConfigurationReference{}.SwaggerDoc()["name"]),
		table.Column("MatchingPrecedence", doc["matchingPrecedence"]),
		table.Column("DistinguisherMethod", doc["distinguisherMethod"]),
		table.Age(),
		table.Column("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
	}
}

func schemaCells(s *flowcontrolv1.FlowSchema) []any {
	method, dangling := "<none>", "?"
	if m := s.Spec.DistinguisherMethod; m != nil {
		method = string(m.Type)
	}
	for _, c := range s.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
			dangling = string(c.Status)
		}
	}
	return []any{
		s.Spec.PriorityLevelConfiguration.Name, int64(s.Spec.MatchingPrecedence), method, table.Since(s.CreationTimestamp), dangling,
	}
}

func levelColumns() []metav1.TableColumnDefinition {
	queuing := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
		table.Column("NominalConcurrencyShares", flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()["nominalConcurrencyShares"]),
		table.Column("Queues", queuing["queues"]),
		table.Column("HandSize", queuing["handSize"]),
		table.Column("QueueLengthLimit", queuing["queueLengthLimit"]),
		table.Age(),
	}
}

func levelCells(p *flowcontrolv1.PriorityLevelConfiguration) []any {
	const none = "<none>"
	shares, queues, hand, length := any(none), any(none), any(none), any(none)
	if l := p.Spec.Limited; l != nil {
		shares = int64(table.Value(l.NominalConcurrencyShares))
		if q := l.LimitResponse.Queuing; q != nil {
			queues, hand, length = int64(q.Queues), int64(q.HandSize), int64(q.QueueLengthLimit)
		}
	}
	return []any{string(p.Spec.Type), shares, queues, hand, length, table.Since(p.CreationTimestamp)}
}
