"""DPO under constraints: group-robust weights, a penalty on the gap between twins, a margin over harmful answers.

In: a plan and its duals. Out: a TRL trainer. Must not know where the rows came from.

    a = log pi(chosen|x) - log pi(rejected|x);  m = beta (a - a_ref) - margin (h_l - h_w)
    l = [-(1 - e) log s(m) + e log s(-m)] / (1 - 2e)
    loss = mean over rows of (q_g / p_g) w l  +  lambda * mean over twins of Huber(gap)  +  anchor * NLL(chosen)

Sources: DPO, Rafailov et al. 2023, equation 7; robust DPO, Chowdhury et al. 2024 (arXiv:2403.00409), as TRL's `robust`;
group weights, Ramesh et al. 2024 (arXiv:2405.20304); margin, SafeDPO, Kim et al. 2025 (arXiv:2505.20065). q are shares
moved by the duals and p the observed ones, so that an unbiased estimate of sum_g q_g L_g needs no group in every batch.
With every constraint off, the loss is TRL's `sigmoid`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer

from sharpen.training.constraints.trainer import Constrained

NOT_FOR_THE_MODEL = {"completion_mask", "ref_chosen_logps", "ref_rejected_logps", "row"}


class FairDPOTrainer(Constrained, DPOTrainer):
    """TRL's DPO trainer with a loss per row, weighed and constrained."""

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """Return the loss as a scalar tensor; `inputs` are TRL's, and `row`, the items' numbers."""
        row_B = inputs["row"]
        named = {name: value for name, value in inputs.items() if name not in NOT_FOR_THE_MODEL}
        if self.aux_loss_enabled:
            named["output_router_logits"] = True
        mask_BT = inputs["completion_mask"]
        labels_BT = inputs["input_ids"].masked_fill(mask_BT == 0, -100)
        outputs = model(**named, use_cache=False, labels=labels_BT, fused_lm_head=True)
        each_BT = outputs.log_probs[:, 1 - mask_BT.shape[1] :]
        chosen_B, rejected_B = each_BT.sum(1).chunk(2)
        policy_B = chosen_B - rejected_B
        reference_B = inputs["ref_chosen_logps"] - inputs["ref_rejected_logps"]
        loss_B = self._row_losses(row_B, policy_B, reference_B)
        loss = self.constrained(row_B, loss_B, policy_B, reference_B)
        if self.anchor_weight:
            is_chosen_BT = mask_BT[:, 1:].chunk(2)[0].bool()
            loss = loss - self.anchor_weight * each_BT.chunk(2)[0][is_chosen_BT].mean()
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        self._tell(chosen_B, rejected_B, policy_B - reference_B)
        return (loss, outputs) if return_outputs else loss

    def _row_losses(self, row_B: torch.Tensor, policy_B: torch.Tensor, reference_B: torch.Tensor) -> torch.Tensor:
        """Return the robust DPO loss of each pair, nats."""
        settings = self.plan.settings
        margin_B = self.beta * (policy_B - reference_B)
        if not self.is_neutral:
            margin_B = margin_B - settings.margin * self.terms.harm(row_B)
        flip = settings.flip_share
        return (-(1 - flip) * logsigmoid(margin_B) + flip * logsigmoid(-margin_B)) / (1 - 2 * flip)

    def _tell(self, chosen_B: torch.Tensor, rejected_B: torch.Tensor, drift_B: torch.Tensor) -> None:
        """Log what shows the known failures: both log-probabilities falling, margins without accuracy."""
        told = self._metrics["train" if self.model.training else "eval"]
        gather = self.accelerator.gather
        told["logps/chosen"].append(gather(chosen_B.detach()).mean().item())
        told["logps/rejected"].append(gather(rejected_B.detach()).mean().item())
        told["rewards/margins"].append(gather(self.beta * drift_B.detach()).mean().item())
        told["rewards/accuracies"].append(gather((drift_B > 0).float()).mean().item())
