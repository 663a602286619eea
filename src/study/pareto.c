#include "study/store.h"

/* Of the iterations with a network only the first is "trained"; its Dice is that of the median rule. */
static const char front[] =
    "WITH choices AS MATERIALIZED ("
    "  SELECT i.number AS number, i.arch AS arch, t.network AS network, i.dice AS dice,"
    "    t.parameters AS parameters, t.planned_bytes AS bytes, t.step_seconds AS step"
    "  FROM iterations AS i JOIN trials AS t ON t.id = i.trial"
    "  WHERE i.outcome = 'trained')"
    "SELECT number, arch, network, dice, parameters, bytes, step FROM choices AS a"
    " WHERE NOT EXISTS (SELECT 1 FROM choices AS b"
    "  WHERE b.dice >= a.dice AND b.parameters <= a.parameters AND b.bytes <= a.bytes"
    "    AND coalesce(b.step <= a.step, TRUE)"
    "    AND (b.dice > a.dice OR b.parameters < a.parameters OR b.bytes < a.bytes"
    "      OR coalesce(b.step < a.step, FALSE)))"
    " ORDER BY dice DESC, number";

sn_status sn_study_pareto_visit(sn_study *study, sn_study_choice_visitor *visitor, void *context,
                                sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    SN_TRY(sn_store_prepare(&statement, study, front, error));
    SN_TRY(sn_store_step(&row, study, statement, error));
    while (row) {
        sn_study_choice choice = {
            .iteration = sqlite3_column_int(statement, 0),
            .arch = sn_store_text(statement, 1),
            .network = sn_store_text(statement, 2),
            .dice = sn_store_real(statement, 3),
            .parameters = sqlite3_column_int64(statement, 4),
            .planned_bytes = sqlite3_column_int64(statement, 5),
            .step_seconds = sn_store_real(statement, 6),
        };
        SN_TRY(visitor(&choice, context, error));
        SN_TRY(sn_store_step(&row, study, statement, error));
    }
done:
    sqlite3_finalize(statement);
    return status;
}
