"""KTO under constraints: desirability balanced inside every group, group-robust weights, a penalty on the twin gap.

In: a plan and its duals. Out: a TRL trainer. Must not know where the rows came from.

    v = 1 - s(beta (r - z0)) if the answer was found good, else 1 - s(beta (z0 - r));  r = log pi / pi_ref
    loss = mean over rows of (q_g / p_g) w v  +  lambda * mean over twins of Huber(gap)

w holds lambda_D or lambda_U: of the row's group, or of all rows where groups are not held. z0 is one for all groups: a
group's own would need 16 of its rows or more in every batch. With every constraint off, the loss is TRL's `kto`.
Source: KTO, Ethayarajh et al. 2024 (arXiv:2402.01306, equations 7 and 8).
"""

from __future__ import annotations

from typing import Any

import torch
from trl import KTOTrainer

from sharpen.training.constraints.trainer import Constrained

KL = ("KL_input_ids", "KL_attention_mask", "KL_completion_mask")
NOT_FOR_THE_MODEL = {"completion_mask", "label", "ref_logps", "ref_KL_logps", "row", *KL}
RELIED_ON = {"_compute_kl_logps": ["model", "batch"]}


class FairKTOTrainer(Constrained, KTOTrainer):
    """TRL's KTO trainer with a loss per row, weighed and constrained."""

    keeps_order = True

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """Return the loss as a scalar tensor; `inputs` are TRL's, and `row`, the items' numbers."""
        row_B = inputs["row"]
        batch = {name: value for name, value in inputs.items() if name != "row"}
        kl_B = self._compute_kl_logps(model, batch)
        named = {name: value for name, value in batch.items() if name not in NOT_FOR_THE_MODEL}
        if self.aux_loss_enabled:
            named["output_router_logits"] = True
        labels_BT = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        outputs = model(**named, use_cache=False, labels=labels_BT, fused_lm_head=True)
        policy_B = outputs.log_probs[:, 1 - labels_BT.shape[1] :].sum(1)
        reward_B = policy_B - batch["ref_logps"]
        drift = (kl_B - batch["ref_KL_logps"]).mean().detach()
        drift = self.accelerator.gather_for_metrics(drift).mean().clamp(min=0)  # z0: KL from mismatched answers
        good_B = batch["label"].bool()
        distance_B = torch.where(good_B, reward_B - drift, drift - reward_B)
        lost_B = torch.where(good_B, self.desirable_weight, self.undesirable_weight) * (
            1 - torch.sigmoid(self.beta * distance_B)
        )
        loss = self.constrained(row_B, lost_B, policy_B, batch["ref_logps"])
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        told = self._metrics["train" if self.model.training else "eval"]
        told["kl"].append(drift.item())
        for name, side_B in (("rewards/chosen", good_B), ("rewards/rejected", ~good_B)):
            count, total = self.accelerator.reduce(
                torch.stack([side_B.sum().float(), (self.beta * reward_B.detach())[side_B].sum()]), "sum"
            ).tolist()
            if count:
                told[name].append(total / count)
        return (loss, outputs) if return_outputs else loss
